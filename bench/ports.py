"""Ports for the benchmark's servers."""

import random
from typing import Final

from ops.broker.ports import PortTakenError, require_free

BELOW_OUTGOING: Final = range(20_000, 32_000)
"""Below those the kernel gives to outgoing connections (32768 and up): a race opens hundreds, and one of them could get
the port of a server that is about to start."""


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on right now."""
    found: list[int] = []
    for port in random.sample(BELOW_OUTGOING, len(BELOW_OUTGOING)):
        try:
            require_free(port, "the benchmark")
        except PortTakenError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise PortTakenError(f"no {count} ports from {BELOW_OUTGOING.start} to {BELOW_OUTGOING.stop} are free")
