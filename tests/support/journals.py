"""The memory broker's journal, to be read as RabbitMQ's is."""

from collections.abc import AsyncGenerator

from chassis.rebuild.journal import Journal
from chassis.transport import Delivery
from chassis.transport.memory import MemoryBroker


class MemoryJournal(Journal):
    """`dropped` is how many of its oldest entries it has lost."""

    def __init__(self, broker: MemoryBroker, *, dropped: int = 0) -> None:
        self._broker = broker
        self._dropped = dropped

    async def read(self, after: int | None) -> AsyncGenerator[Delivery, None]:
        start = self._dropped if after is None else after + 1
        for offset, message in enumerate(self._broker.journal[start:], start=start):
            yield Delivery(
                message.body,
                message.message_id,
                message.type,
                message.exchange,
                message.routing_key,
                stream_offset=offset,
            )

    def cut(self, first: Delivery) -> str | None:
        return "its oldest events were dropped" if self._dropped else None
