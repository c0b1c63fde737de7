"""What an account, a session and a signing key are, and what may be done with them. Pure."""
