"""payment_svc: takes the money of orders, and gives it back. Decides about money from its own rows only."""
