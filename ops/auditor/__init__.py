"""The auditor of a local shop: a process that audits every so often, and now if an operator asks for it.

`desk` runs audits one at a time, `api` tells operators the last one, `python -m ops.auditor` is the process.
"""
