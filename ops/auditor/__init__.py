"""The auditor: a process that audits the shop every so often, and now if an operator asks for it.

`desk` runs audits one at a time, `api` tells operators the last one, `serving` is the process. `python -m ops.auditor`
audits the local shop, `python -m ops.auditor.remote` one of which it is told the addresses.
"""
