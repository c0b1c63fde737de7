"""The operator's side: starting, watching, auditing and repairing a running shop, from outside."""
