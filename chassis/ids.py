"""Ids as a port: UUIDv7 (RFC 9562 §5.7), time-ordered, so that new rows land at the end of an index."""

import random
from typing import Protocol
from uuid import UUID

from chassis.clock import Clock


class Ids(Protocol):
    """Makes ids that never repeat."""

    def new(self) -> UUID: ...


class Uuid7:
    """UUIDv7: 48 bits of Unix milliseconds, then random bits. Ids of one millisecond are in no order."""

    def __init__(self, clock: Clock, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.SystemRandom()

    def new(self) -> UUID:
        milliseconds = int(self._clock.now().timestamp() * 1000)
        random_bits = self._rng.getrandbits(74)  # at once: each call asks the kernel
        value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | random_bits >> 62 << 64
        return UUID(int=value | 0b10 << 62 | random_bits & (1 << 62) - 1)
