"""What is sold and how many there are: products for everyone to browse, stock held and sold for orders."""
