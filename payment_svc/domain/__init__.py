"""What payment_svc knows about money, without a database, a broker or a provider."""
