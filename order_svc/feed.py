"""Tells waiting requests (long polls, event streams) that an order changed. In this process only: others poll."""

import asyncio
from collections import defaultdict
from uuid import UUID


class ChangeFeed:
    """Wakes whoever waits for one order. A hint, not a source: the waiter reads the store again."""

    def __init__(self) -> None:
        self._waiters: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    def notify(self, order_id: UUID) -> None:
        for waiter in self._waiters.get(order_id, ()):
            waiter.set()

    def watch(self, order_id: UUID) -> "Watch":
        """Begin to listen; changes from now on are noticed, so read the store after this, not before."""
        return Watch(self, order_id)

    def add(self, order_id: UUID, waiter: asyncio.Event) -> None:
        self._waiters[order_id].add(waiter)

    def remove(self, order_id: UUID, waiter: asyncio.Event) -> None:
        waiters = self._waiters[order_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[order_id]


class Watch:
    """A context in which `changed` waits for the next change of one order, or for `timeout` seconds to pass."""

    def __init__(self, feed: ChangeFeed, order_id: UUID) -> None:
        self._feed = feed
        self._order_id = order_id
        self._event = asyncio.Event()

    def __enter__(self) -> "Watch":
        self._feed.add(self._order_id, self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.remove(self._order_id, self._event)

    async def changed(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()
