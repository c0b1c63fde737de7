"""order_svc as it must never run: `synchronous=NORMAL`, where a commit does not wait for the disk."""

import runpy
from typing import Any

from chassis.db import Store

_prepare = Store._prepare


def _relax(self: Store, connection: Any) -> None:
    """After the check, which would refuse it."""
    _prepare(self, connection)
    connection.execute("PRAGMA synchronous=NORMAL")


if __name__ == "__main__":
    Store._prepare = _relax  # type: ignore[method-assign] # the store itself offers no way to be careless
    runpy.run_module("order_svc", run_name="__main__", alter_sys=True)
