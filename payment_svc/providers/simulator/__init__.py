"""A payment company of its own, to deal with over HTTP: its process, its ledger, its webhooks, and its faults.

It stands for a foreign house: it knows nothing of payment_svc but what crosses the wire.
"""
