"""Tells waiting requests (long polls, event streams) what became of an order, in every process of the service."""

import asyncio
from collections import defaultdict
from typing import Final
from uuid import UUID

from chassis.hints import Hints
from order_svc.domain.order import OrderStatus

TOPIC: Final = "order"


class ChangeFeed:
    """Wakes whoever waits for one order. A hint, not a source: the waiter reads the store again."""

    def __init__(self) -> None:
        self._watches: defaultdict[UUID, set[Watch]] = defaultdict(set)
        self._hints: Hints | None = None

    def share(self, hints: Hints) -> None:
        """Tell the service's other processes, too, and hear of what they commit."""
        hints.on(TOPIC, self._hear)
        self._hints = hints

    def notify(self, order_id: UUID, status: OrderStatus) -> None:
        """We have committed something about the order, and this is its status now."""
        self._wake(order_id, status)
        if self._hints is not None:
            self._hints.tell(TOPIC, f"{order_id} {status.value}")

    def _hear(self, text: str) -> None:
        order_id, status = text.split()
        self._wake(UUID(order_id), OrderStatus(status))

    def _wake(self, order_id: UUID, status: OrderStatus) -> None:
        for watch in self._watches.get(order_id, ()):
            watch.hear(status)

    def watch(self, order_id: UUID) -> "Watch":
        """Begin to listen; changes from now on are noticed, so read the store after this, not before."""
        return Watch(self, order_id)

    def add(self, order_id: UUID, watch: "Watch") -> None:
        self._watches[order_id].add(watch)

    def remove(self, order_id: UUID, watch: "Watch") -> None:
        watches = self._watches[order_id]
        watches.discard(watch)
        if not watches:
            del self._watches[order_id]


class Watch:
    """A context in which `changed` waits for the next change of one order."""

    def __init__(self, feed: ChangeFeed, order_id: UUID) -> None:
        self._feed = feed
        self._order_id = order_id
        self._heard = asyncio.Event()
        self._status: OrderStatus | None = None

    def __enter__(self) -> "Watch":
        self._feed.add(self._order_id, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.remove(self._order_id, self)

    def hear(self, status: OrderStatus) -> None:
        self._status = status
        self._heard.set()

    async def changed(self, timeout: float) -> OrderStatus | None:
        """The order's status after its last change, or None if nothing was heard of one within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._heard.wait()
        except TimeoutError:
            return None
        self._heard.clear()
        return self._status
