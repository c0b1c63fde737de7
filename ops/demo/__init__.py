"""The demo shop: a shelf of public-domain books and the way they get into a running shop."""
