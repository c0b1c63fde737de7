"""Accounts, sessions and the keys every service verifies access tokens with."""
