"""The rules of the catalog: products, stock counts and reservations. Pure Python."""
