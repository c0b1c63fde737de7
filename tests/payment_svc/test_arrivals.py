"""Payments that come before their order cost the store one look at a time, not one look each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from chassis.hints import NobodyElse
from payment_svc import arrivals
from payment_svc.arrivals import Arrivals
from tests.support.hints import Others
from tests.support.waiting import wait_until

FOR_EVER = 60.0


class Shelf:
    """A reader that has the orders from the given look on."""

    def __init__(self, orders: Mapping[UUID, UUID], looks_before: int) -> None:
        self.orders = orders
        self.looks_before = looks_before
        self.looks = 0
        self.broken = False

    async def all(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        self.looks += 1
        if self.broken:
            raise OSError("the disk is gone")
        wanted = (parameters or {})["order_ids"]
        found = [order_id for order_id in wanted if order_id in self.orders] if self.looks > self.looks_before else []
        return [{"order_id": order_id, "user_id": self.orders[order_id]} for order_id in found]

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
        return await self.all(statement, parameters)

    async def first(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> None:
        raise AssertionError("not asked")

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LOOK_AGAIN_SECONDS", 0.0)


async def test_an_order_that_is_known_is_found_at_the_first_look() -> None:
    order_id, user_id = uuid4(), uuid4()
    shelf = Shelf({order_id: user_id}, looks_before=0)
    assert await Arrivals(shelf, NobodyElse()).wait_for(order_id, user_id, FOR_EVER)
    assert shelf.looks == 1


async def test_a_thousand_payments_wait_at_the_price_of_one() -> None:
    orders = {uuid4(): uuid4() for _ in range(1000)}
    shelf = Shelf(orders, looks_before=1010)
    waiting = Arrivals(shelf, NobodyElse())
    found = await asyncio.gather(*(waiting.wait_for(order, user, FOR_EVER) for order, user in orders.items()))
    assert all(found)
    assert shelf.looks <= 1000 + 10 + 2 * len(orders) // arrivals.LOOK_AT_ONCE


async def test_somebody_elses_order_is_waited_for_like_one_that_does_not_exist() -> None:
    order_id, owner = uuid4(), uuid4()
    shelf = Shelf({order_id: owner}, looks_before=0)
    waiting = Arrivals(shelf, NobodyElse())
    assert not await waiting.wait_for(order_id, uuid4(), 0.05)
    assert shelf.looks > 1
    await waiting.stop()


async def test_two_payments_of_one_order_both_hear_of_it() -> None:
    order_id, user_id = uuid4(), uuid4()
    waiting = Arrivals(Shelf({order_id: user_id}, looks_before=5), NobodyElse())
    await asyncio.gather(*(waiting.wait_for(order_id, user_id, FOR_EVER) for _ in range(2)))


async def test_a_store_that_cannot_be_read_is_everybodys_error() -> None:
    shelf = Shelf({}, looks_before=0)
    waiting = Arrivals(shelf, NobodyElse())
    several = [asyncio.create_task(waiting.wait_for(uuid4(), uuid4(), FOR_EVER)) for _ in range(3)]
    await wait_until(lambda: shelf.looks > len(several))
    shelf.broken = True
    for result in await asyncio.gather(*several, return_exceptions=True):
        assert isinstance(result, OSError)


@pytest.mark.parametrize("who", ["this process", "another"])
async def test_what_was_taken_in_is_heard_without_another_look(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(arrivals, "LOOK_AGAIN_SECONDS", FOR_EVER)
    order_id, user_id = uuid4(), uuid4()
    shelf, others = Shelf({}, looks_before=0), Others()
    here, there = Arrivals(shelf, others.member()), Arrivals(shelf, others.member())
    paying = asyncio.create_task(here.wait_for(order_id, user_id, FOR_EVER))
    await wait_until(lambda: shelf.looks == 1)
    (here if who == "this process" else there).heard(order_id, user_id)
    async with asyncio.timeout(10):
        assert await paying
    assert shelf.looks == 1
    await here.stop()
