"""A race: more buyers than units, while catalog_svc, which decides, is killed again and again."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from catalog_svc.tables import stock_ledger
from tests.e2e.client import Customer, Shop
from tests.support.waiting import wait_until

MOST_KILLS: Final = 4
LEAST_KILLS: Final = 2
"""One while orders come in, one over what has piled up; more while somebody still waits."""
CANCELS: Final = 5
POST_AT_ONCE: Final = 20
_DECISION: Final = "awaiting_payment"
_MOMENTS: Final = (
    "consumer.before_handle",
    "consumer.after_inbox",
    "writer.after_commit",
    "consumer.after_ack",
    "relay.after_publish",
)
"""Whoever kills waits for one of these; the signal arrives a little later, anywhere."""


@dataclass
class Outcome:
    """How a race ended, as the buyers and the stock ledger have it."""

    first: Mapping[str, int] = field(default_factory=dict)
    resold: Mapping[str, int] = field(default_factory=dict)
    paid: int = 0
    kills: int = field(default=0, compare=False)
    lowest: int = 0
    left: int = 0


class Race:
    """One product, `units` of it, and `buyers` who all order one at the same time."""

    def __init__(self, shop: Shop, customers: Sequence[Customer], *, buyers: int, units: int, seed: int) -> None:
        self._shop = shop
        self._buyers = list(islice(cycle(customers), buyers))
        self._units = units
        self._random = random.Random(seed)
        self._turn = asyncio.Semaphore(POST_AT_ONCE)
        self._sku = ""
        self._placed = self._decided = 0

    async def run(self) -> Outcome:
        """Everybody orders; a few winners cancel, others get those units; every winner pays."""
        outcome = Outcome()
        self._sku = await self._shop.product(stock=self._units)
        killing = asyncio.create_task(self._kill_catalog(outcome))
        decided = await asyncio.gather(*(self._order(buyer) for buyer in self._buyers))
        await killing
        outcome.first = dict(Counter(status for _, _, status in decided))
        winners = [(buyer, order_id) for buyer, order_id, status in decided if status == _DECISION]
        cancelled, kept = winners[:CANCELS], winners[CANCELS:]
        await asyncio.gather(*(self._give_back(*winner) for winner in cancelled))
        await wait_until(lambda: self._available(len(cancelled)), timeout=30, message="released units never came back")
        again = await asyncio.gather(*(self._order(buyer) for buyer in self._buyers[: 2 * len(cancelled)]))
        outcome.resold = dict(Counter(status for _, _, status in again))
        kept += [(buyer, order_id) for buyer, order_id, status in again if status == _DECISION]
        await asyncio.gather(*(self._pay(*winner) for winner in kept))
        outcome.paid = len(kept)
        outcome.left = await self._shop.available(self._sku)
        outcome.lowest = await lowest_stock(self._shop.processes.stores["catalog"], self._sku)
        return outcome

    async def _order(self, buyer: Customer) -> tuple[Customer, str, str]:
        async with self._turn:
            order_id = await self._shop.place(buyer, self._sku)
        self._placed += 1
        path = f"/orders/{order_id}?wait=5&until={_DECISION}"
        status = "pending"

        async def is_decided() -> bool:
            nonlocal status
            answer = await self._shop.call("order", "GET", path, headers=buyer.headers)
            status = str(answer.json()["status"])
            return status != "pending"

        await wait_until(is_decided, timeout=60, message=f"nobody ever decided about {order_id}")
        self._decided += 1
        return buyer, order_id, status

    async def _give_back(self, buyer: Customer, order_id: str) -> None:
        answer = await self._shop.cancel(buyer, order_id)
        assert answer.json()["status"] == "cancelled", answer.text

    async def _available(self, units: int) -> bool:
        return await self._shop.available(self._sku) == units

    async def _pay(self, buyer: Customer, order_id: str) -> None:
        async with self._turn:
            await self._shop.pay(buyer, order_id)
        await self._shop.reaches(buyer, order_id, "paid")

    async def _kill_catalog(self, outcome: Outcome) -> None:
        """First when orders begin to come, then each time as soon as it has come to some point of its work."""
        await wait_until(lambda: self._placed > 0, timeout=30)
        while outcome.kills < MOST_KILLS and self._decided < len(self._buyers):
            await asyncio.to_thread(self._shop.processes.kill, "catalog")
            await asyncio.to_thread(self._shop.processes.start, "catalog")
            outcome.kills += 1
            moment = f"catalog.{self._random.choice(_MOMENTS)}"
            await wait_until(partial(self._over_or_at, moment), timeout=30)

    def _over_or_at(self, moment: str) -> bool:
        return self._decided >= len(self._buyers) or moment in self._shop.processes.trace("catalog")


async def lowest_stock(url: str, sku: str) -> int:
    """The fewest units that were ever available, by the ledger from its first entry to its last."""
    moves = sa.select(stock_ledger.c.on_hand, stock_ledger.c.reserved).where(stock_ledger.c.sku == sku)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        rows = (await connection.execute(moves.order_by(stock_ledger.c.id))).all()
    await engine.dispose()
    available, lowest = 0, 0
    for on_hand, reserved in rows:
        available += on_hand - reserved
        lowest = min(lowest, available)
    return lowest
