"""The order and its rules; knows no database, broker or web."""
