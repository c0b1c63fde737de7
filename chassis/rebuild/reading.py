"""The journal into the scratch store: what the service would have got of it, in batches, all that is odd counted."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from chassis.projections import Projection
from chassis.rebuild.journal import Journal, JournalUnavailableError
from chassis.rebuild.scratch import Refused, Scratch, Told
from chassis.runtime import ServiceDefinition
from chassis.transport import Delivery
from contracts.envelope import Envelope, UndecodableEventError, decode
from contracts.registry import SERVICES, typed

BATCH: Final = 500


@dataclass(slots=True)
class Reading:
    """What was read. `undecodable` holds the offsets; `cut` says why older events may be missing, None if none are."""

    entries: int = 0
    handled: int = 0
    first: int | None = None
    last: int | None = None
    began: datetime | None = None
    undecodable: list[int | None] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    cut: str | None = None


class Reader:
    """Reads on from where it was, each time up to the end there is then. Memory does not grow with the journal."""

    def __init__(self, definition: ServiceDefinition[Any], journal: Journal, scratch: Scratch) -> None:
        self.so_far = Reading()
        self._journal = journal
        self._scratch = scratch
        self._feeds = {event.wire_name for each in definition.projections for event in each.fed_by}
        self._siblings = _siblings(definition.projections)
        self._batch: list[Told] = []
        self._begun: list[str] = []

    async def read_on(self) -> Reading:
        """
        Raises:
            JournalUnavailableError: it cannot be read, or there is nothing in it.
            SideEffectError: a handler did more than feed a projection.
        """
        async with aclosing(self._journal.read(self.so_far.last)) as deliveries:
            async for delivery in deliveries:
                self._take(delivery)
                if len(self._batch) >= BATCH or len(self._begun) >= BATCH:
                    await self._pass_on()
        await self._pass_on()
        if not self.so_far.entries:
            raise JournalUnavailableError("the journal is empty: there is nothing to compare with")
        return self.so_far

    def _take(self, delivery: Delivery) -> None:
        so_far = self.so_far
        if not so_far.entries:
            so_far.first, so_far.cut = delivery.stream_offset, self._journal.cut(delivery)
        so_far.entries += 1
        so_far.last = delivery.stream_offset
        if so_far.began is not None and not self._concerns(delivery.routing_key):
            return
        try:
            envelope = decode(delivery.body)
            so_far.began = so_far.began or envelope.time
            if envelope.type in self._feeds:
                self._batch.append((envelope, typed(envelope)))
            self._note_beginning(envelope)
        except UndecodableEventError:
            so_far.undecodable.append(delivery.stream_offset)

    def _concerns(self, routing_key: str) -> bool:
        """An entry without a key is from a file and no event: it is counted."""
        return not routing_key or routing_key in self._feeds or routing_key in self._siblings

    def _note_beginning(self, envelope: Envelope) -> None:
        if envelope.aggregateversion == 1 and envelope.type in self._siblings:
            self._begun.append(envelope.subject)

    async def _pass_on(self) -> None:
        batch, self._batch = self._batch, []
        begun, self._begun = self._begun, []
        await self._scratch.note_beginnings(begun)
        if batch:
            refused = await self._scratch.take_in(batch)
            self.so_far.refused += refused
            self.so_far.handled += len(batch) - len(refused)


def _siblings(projections: Sequence[Projection]) -> set[str]:
    """Every event of those who feed a projection in parts: the first of an aggregate may be one we do not subscribe."""
    feeds = {event for each in projections if each.in_parts for event in each.fed_by}
    return {
        event.wire_name
        for contract in SERVICES.values()
        if feeds.intersection(contract.publishes)
        for event in contract.publishes
    }
