"""A broker at its worst: every message twice, queues out of order, consumers kept waiting; all of it seeded."""

import asyncio
import random

from chassis.clock import Clock
from chassis.transport.memory import MemoryBroker
from chassis.transport.memory_broker import Holder, StoredMessage, Unsettled

_LONG_AFTER_ANY_TEST = 1_000_000
_HELD_BACK_SECONDS = 0.004
_AT_MOST = 3


class UnrulyBroker(MemoryBroker):
    """Delivers at least once and in no order, which is all that is promised of a broker."""

    def __init__(self, seed: int, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.rng = random.Random(seed)
        self.faults.duplicates = _LONG_AFTER_ANY_TEST
        self.overtaken = 0

    def take(self, holder: Holder, limit: int) -> list[tuple[StoredMessage, Unsettled]]:
        """A few messages from anywhere in the queue, or for a moment nothing, so that more come together."""
        if self.rng.random() < 0.5:
            asyncio.get_running_loop().call_later(_HELD_BACK_SECONDS, self.changed)
            return []
        waiting = [message.outgoing.message_id for message in self.ready(holder.queue)]
        self.shuffle(holder.queue, self.rng)
        taken = super().take(holder, min(limit, self.rng.randint(1, _AT_MOST)))
        self.overtaken += [message.outgoing.message_id for message, _ in taken] != waiting[: len(taken)]
        return taken
