"""Hashes in a process of its own, whose memory nobody else has a hand in, and waits for it to be given back."""

import asyncio
import resource
from pathlib import Path
from typing import Final

from auth_svc.passwords import Hasher
from tests.support.waiting import wait_until

HASH_KIB: Final = 24_576
"""Small enough for glibc to keep it (32 MiB is not), large enough to be seen."""


async def main() -> None:
    """Raises: AssertionError: the memory of a hash was kept."""
    hasher = Hasher(memory_kib=HASH_KIB, passes=1)
    before = resident_kib()
    for _ in range(3):  # the first one's memory goes back by itself, and from then on it is kept
        await hasher.hash("a password")
    await wait_until(lambda: resident_kib() < before + HASH_KIB / 2, message="the memory of a hash was kept")


def resident_kib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


if __name__ == "__main__":
    asyncio.run(main())
