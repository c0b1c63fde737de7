"""The audit of a shop that may be at work: looks again before it accuses, and waits for rest if it is asked to."""

import asyncio
from typing import Final

from ops.audit.findings import Look, Report, report
from ops.audit.look import look
from ops.audit.source import Source

LOOKS: Final = 3
"""How often a breach must be seen, the same each time, before it is one."""
PAUSE_SECONDS: Final = 3.0
"""Between two looks: together longer than the age of RabbitMQ's figures (5 s)."""

_POLL_SECONDS: Final = 0.2


async def audit(source: Source, *, wait: float = 0.0, pause: float = PAUSE_SECONDS) -> Report:
    """Look, and look again as long as there seems to be a breach, up to three times.

    `wait`: for how many seconds to wait until nothing moves any more. Raises what the source raises.
    """
    end = asyncio.get_running_loop().time() + wait
    while True:
        found = await _looked(source, pause)
        if not found.moving or asyncio.get_running_loop().time() >= end:
            return found
        await asyncio.sleep(_POLL_SECONDS)


async def _looked(source: Source, pause: float) -> Report:
    looks: list[Look] = [await look(source)]
    while report(looks).breaches and len(looks) < LOOKS:
        await asyncio.sleep(pause)
        looks.append(await look(source))
    return report(looks)
