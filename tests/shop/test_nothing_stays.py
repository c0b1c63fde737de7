"""What an order was made of is gone from memory when the order is through: no kind of object grows with orders."""

import asyncio
import gc
import urllib.parse
import weakref
from collections import Counter
from itertools import pairwise

import pytest

from chassis.clock import SystemClock
from chassis.transport.memory import MemoryBroker
from payment_svc.providers import simulated
from tests.shop.shop import NO_MONEY, Shop, Visitor, open_shop
from tests.shop.stores import Urls

ORDERS = 18
REFERENCES = weakref.ReferenceType
"""sqlite3 keeps one of each cursor, and drops those of closed ones after two hundred."""


async def buy_in_every_way(visitor: Visitor, number: int) -> None:
    """Bought; cancelled before it is paid; bought with a second card, and given back."""
    if number % 3 == 0:
        await visitor.buy(BOOK=1)
        return
    order_id = await visitor.place(BOOK=1)
    await visitor.get(f"/orders/{order_id}?wait=20&until=awaiting_payment")
    if number % 3 == 2:
        await visitor.pay(order_id, NO_MONEY)
        await visitor.pay(order_id)
        await visitor.until(order_id, "paid")
    await visitor.cancel(order_id)
    await visitor.until(order_id, "cancelled", "refunded")


async def kinds_after_a_round(shop: Shop, visitor: Visitor) -> Counter[type[object]]:
    """How many objects of each kind there are when eighteen more orders are through."""
    await asyncio.gather(*(buy_in_every_way(visitor, number) for number in range(ORDERS)))
    await shop.settled()
    urllib.parse.clear_cache()  # type: ignore[attr-defined]  # typeshed has forgotten it; our client fills it with paths
    gc.collect()
    return Counter(map(type, gc.get_objects()))


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
async def test_no_kind_of_object_grows_with_orders(shop_urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "MAX_REMEMBERED", ORDERS // 2)  # that it is full at once, as after some hours
    async with open_shop(shop_urls, broker=MemoryBroker(clock=SystemClock(), keep_journal=False)) as shop:
        await shop.stock(BOOK=1_000)
        visitor = await shop.register("ann")
        kinds = [await kinds_after_a_round(shop, visitor) for _ in range(5)]
    counted = {kind: [each[kind] for each in kinds[1:]] for kind in kinds[-1]}  # the first round fills caches
    grown = {
        kind.__qualname__: counts
        for kind, counts in counted.items()
        if kind is not REFERENCES and all(later - earlier >= ORDERS // 2 for earlier, later in pairwise(counts))
    }
    assert grown == {}, "something keeps these of every order"
