"""The broker in memory, made as unreliable as a real one is allowed to be, and a service's connection to it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from chassis.clock import Clock
from chassis.topology import EVENTS
from chassis.transport.base import Outcome, OutgoingMessage, PublishResult
from chassis.transport.memory import MemoryBroker, MemoryTransport
from chassis.transport.memory_broker import Holder, StoredMessage, Unsettled
from tests.simulation.faults import Dice
from tests.simulation.stores import pause
from tests.simulation.story import Story

_TICK_SECONDS: Final = 0.5


class SimBroker(MemoryBroker):
    """At least once, in no order, and with answers that are lost."""

    def __init__(self, dice: Dice, story: Story, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.dice = dice
        self._story = story

    async def pass_time(self) -> None:
        """Release what waits in retry tiers, for ever; the clock is not the machine's, so nobody else does."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.release_due()

    def publish(self, message: OutgoingMessage) -> PublishResult:
        rolls, what = self.dice.rolls, _describe(message)
        if rolls("lose publish"):
            self._tell(message, f"{what} was lost on the way to the broker")
            return PublishResult(Outcome.UNKNOWN, "the connection broke")
        if rolls("nack"):
            self._tell(message, f"{what} is refused by the broker")
            return PublishResult(Outcome.NACKED, "refused")
        if rolls("return"):
            self._tell(message, f"{what} is returned: no queue takes it")
            return PublishResult(Outcome.RETURNED, "NO_ROUTE")
        self.faults.duplicates = int(rolls("duplicate"))
        self.faults.lose_confirms = int(rolls("lose confirm"))
        twice, unheard = self.faults.duplicates, self.faults.lose_confirms
        result = super().publish(message)
        self._tell(message, f"{what} published{' twice' * twice}{', its confirm lost' * unheard}: {result.outcome}")
        return result

    def take(self, holder: Holder, limit: int) -> list[tuple[StoredMessage, Unsettled]]:
        if limit <= 0 or not self.ready(holder.queue):
            return []
        if self.dice.rolls("hold back"):
            asyncio.get_running_loop().call_later(self.dice.seconds(3.0), self.changed)
            return []
        if self.dice.rolls("reorder"):
            self.shuffle(holder.queue, self.dice.rng)
            limit = min(limit, self.dice.rng.randint(1, 4))
        taken = super().take(holder, limit)
        for message, _ in taken:
            again = f", time {message.deliveries + 1}" if message.deliveries else ""
            self._story.tell(
                holder.service, f"receives {_describe(message.outgoing)}{again}", message.outgoing.correlation_id
            )
        return taken

    def settle(self, handle: object) -> None:
        if self.dice.rolls("lose ack") and isinstance(handle, Unsettled):
            self._story.tell("broker", f"an acknowledgement of {handle.holder.service} is lost")
            self.give_back([handle])
            return
        super().settle(handle)

    def _tell(self, message: OutgoingMessage, text: str) -> None:
        self._story.tell(message.app_id, text, message.correlation_id)


class SimTransport(MemoryTransport):
    """A connection that takes its time, and dies with its process."""

    def __init__(self, broker: SimBroker, service: str) -> None:
        super().__init__(broker, service)
        self._sim = broker

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        results = await super().publish(messages)
        await pause(self._sim.dice.seconds(2.0) if self._sim.dice.rolls("slow broker") else 0.001)
        return results

    def die(self) -> None:
        """What its consumers held goes back to the queues."""
        self._started = False
        self._sim.drop_sessions(self.service)


def _describe(message: OutgoingMessage) -> str:
    short = message.message_id[-4:]
    return (
        f"{message.type} [{short}]" if message.exchange == EVENTS else f"{message.type} [{short}] ↻ {message.exchange}"
    )
