"""Answers that wait: the long poll on one order, and its timeline as server-sent events.

Both read the store; the feed only tells them when to look again, and a look each second finds what others wrote. What
the feed tells on the way to the awaited status is not looked at: most orders pass two states that nobody waits for.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from chassis.db import Reader
from chassis.seedwork import DomainError, ErrorKind
from order_svc.domain.order import TRANSITIONS, OrderStatus
from order_svc.feed import ChangeFeed
from order_svc.queries import find_order, timeline_of
from order_svc.schemas import OrderView, TimelineEntryView

LOOK_AGAIN_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 15.0
MAX_STREAM_SECONDS: Final = 900.0
STREAMS_PER_USER: Final = 3
STREAMS_IN_ALL: Final = 200


@dataclass(slots=True)
class Streams:
    """How many event streams are open; a stream costs memory for as long as it lasts."""

    open: Counter[UUID] = field(default_factory=Counter)

    def take(self, user_id: UUID) -> None:
        """Claim a place for a stream; give it back with `release`.

        Raises:
            DomainError: `too-many-streams`.
        """
        if self.open[user_id] >= STREAMS_PER_USER or self.open.total() >= STREAMS_IN_ALL:
            raise DomainError("too-many-streams", ErrorKind.TOO_MANY, "Close another stream first.", retry_after=5)
        self.open[user_id] += 1

    def release(self, user_id: UUID) -> None:
        self.open[user_id] -= 1
        if not self.open[user_id]:
            del self.open[user_id]


async def wait_for(
    reader: Reader,
    feed: ChangeFeed,
    stopping: asyncio.Event,
    order_id: UUID,
    user_id: UUID | None,
    *,
    seconds: float,
    until: OrderStatus | None,
) -> OrderView:
    """The order once it has status `until` or never will (without `until`: once it changed), else after `seconds`.

    Raises:
        NotFoundError: see `find_order`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with feed.watch(order_id) as watch:
        order = await find_order(reader, order_id, user_id)
        first_version = order.version
        while not (_reached(order.status, until) if until else order.version != first_version):
            left = deadline - loop.time()
            if left <= 0 or stopping.is_set():
                break
            heard = await watch.changed(min(left, LOOK_AGAIN_SECONDS))
            while heard and until and not _reached(heard, until) and not stopping.is_set():
                heard = await watch.changed(max(0.0, min(deadline - loop.time(), LOOK_AGAIN_SECONDS)))
            order = await find_order(reader, order_id, user_id)
    return order


async def event_stream(
    reader: Reader, feed: ChangeFeed, stopping: asyncio.Event, order_id: UUID, *, after: int, max_seconds: float
) -> AsyncIterator[bytes]:
    """The timeline from entry `after` on as server-sent events, until the order is final or `max_seconds` have passed.

    A reader that comes back sends the last id it saw as `Last-Event-ID` and misses nothing.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + max_seconds
    heartbeat = loop.time() + HEARTBEAT_SECONDS
    yield b"retry: 2000\n\n"
    with feed.watch(order_id) as watch:
        while loop.time() < end and not stopping.is_set():
            for entry in await timeline_of(reader, order_id, after):
                after = entry.seq
                yield _format(entry)
                if TRANSITIONS.is_final(entry.status):
                    return
            if loop.time() >= heartbeat:
                heartbeat = loop.time() + HEARTBEAT_SECONDS
                yield b": still here\n\n"
            await watch.changed(LOOK_AGAIN_SECONDS)


def _reached(status: OrderStatus, until: OrderStatus) -> bool:
    """Whether an order of this status is there, or cannot come there any more: it went past, or ended."""
    return status is until or not TRANSITIONS.leads_to(status, until)


def _format(entry: TimelineEntryView) -> bytes:
    return f"id: {entry.seq}\nevent: timeline\ndata: {entry.model_dump_json()}\n\n".encode()
