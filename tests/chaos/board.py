"""What the shop says about all orders, read page by page as operator, for everybody who waits for one.

Hundreds of customers asking each for their own order would be most of the load; a page tells a hundred of them at once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

from tests.chaos.door import Door, NoAnswerError, RefusedError
from tests.chaos.people import Person
from tests.chaos.record import Stopwatch

PAGE: Final = 100
SHORTEST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 2.0
SHARE: Final = 8
"""Reading should take one part in this many of the time, however much there is to read."""
ENDED: Final = frozenset({"paid", "rejected", "cancelled", "refunded", "fulfilled"})

Order = Mapping[str, Any]


class UnreadableError(Exception):
    """The list of orders could not be read now."""


class Board:
    """Reads as far back as somebody waits for, a few times a second."""

    def __init__(self, orders: Door, operator: Person, watch: Stopwatch) -> None:
        self._orders = orders
        self._operator = operator
        self._watch = watch
        self._waiting: dict[str, tuple[frozenset[str], asyncio.Future[Order]]] = {}

    async def reaches(self, order_id: str, statuses: frozenset[str]) -> Order:
        """The order as it was first seen in one of these statuses."""
        seen: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._waiting[order_id] = (statuses, seen)
        try:
            return await seen
        finally:
            self._waiting.pop(order_id, None)

    async def run(self) -> None:
        """Keep reading until cancelled."""
        while True:
            begun = self._watch.now()
            with suppress(UnreadableError):
                await self._read()
            took = self._watch.now() - begun
            pause = min(max(SHORTEST_PAUSE, took * (SHARE - 1)), LONGEST_PAUSE)
            await asyncio.sleep(pause)  # the board's cadence, not a test's wait

    async def everything(self) -> list[Order]:
        """Every order of the shop, newest first.

        Raises:
            UnreadableError: see there.
        """
        return [order async for order in pages(self._orders, self._operator)]

    async def _read(self) -> None:
        if not self._waiting:
            return
        oldest = min(self._waiting)
        async for order in pages(self._orders, self._operator):
            statuses, seen = self._waiting.get(order["id"], (frozenset[str](), None))
            if seen is not None and order["status"] in statuses and not seen.done():
                seen.set_result(order)
            if order["id"] < oldest:
                return


async def pages(door: Door, reader: Person, query: str = "") -> AsyncIterator[Order]:
    """The orders somebody may see, newest first.

    Raises:
        UnreadableError: a page was not answered with 200.
    """
    cursor = ""
    while True:
        target = f"/orders?limit={PAGE}{query}" + (f"&cursor={cursor}" if cursor else "")
        try:
            answer = await door.ask("GET", target, await reader.headers())
        except (RefusedError, NoAnswerError) as error:
            raise UnreadableError(str(error)) from error
        if answer.status != 200:
            raise UnreadableError(f"{answer.status} {answer.body[:200]!r}")
        page = answer.json()
        for order in page["items"]:
            yield order
        cursor = page["next_cursor"]
        if not cursor:
            return
