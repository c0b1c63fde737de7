"""Waiting for an order: how often the store is asked meanwhile, and by whom one need not have been told."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.db import Reader
from order_svc import streams
from order_svc.domain.order import OrderStatus
from order_svc.feed import ChangeFeed
from order_svc.queries import find_order
from order_svc.schemas import OrderView
from tests.order_svc.builders import a_product, authorized, captured, place, reserved
from tests.support.harness import Harness
from tests.support.hints import Others
from tests.support.waiting import wait_until

FOR_EVER = 3_600.0


class Looks:
    """Counts the looks of those who wait."""

    def __init__(self) -> None:
        self.taken = 0

    async def find_order(self, reader: Reader, order_id: UUID, user_id: UUID | None) -> OrderView:
        self.taken += 1
        return await find_order(reader, order_id, user_id)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(streams, "find_order", looks.find_order)
    return looks


async def an_order_to_pay(orders: Harness, user_id: UUID) -> dict[str, Any]:
    await orders.send(a_product())
    order = await place(orders, user_id)
    await orders.send(reserved(order))
    return order


def wait_until_paid(orders: Harness, user_id: UUID, order: dict[str, Any]) -> "asyncio.Task[Any]":
    url = f"/orders/{order['id']}?wait=30&until=paid"
    return asyncio.create_task(orders.http.get(url, headers=orders.as_user(user_id)))


async def test_what_the_order_passes_on_its_way_is_not_looked_at(
    orders: Harness, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_AGAIN_SECONDS", FOR_EVER)
    user_id, payment_id = uuid4(), uuid4()
    order = await an_order_to_pay(orders, user_id)
    waiting = wait_until_paid(orders, user_id, order)
    await wait_until(lambda: looks.taken == 1)
    await orders.send(authorized(order, payment_id))
    await orders.send(captured(order, payment_id))
    assert (await waiting).json()["status"] == "paid"
    assert looks.taken == 2


async def test_what_another_process_did_is_told() -> None:
    """Once, and by who did it: who hears of it does not tell it again."""
    others, order_id = Others(), uuid4()
    members = here, there = others.member(), others.member()
    feeds = [ChangeFeed() for _ in members]
    for feed, member in zip(feeds, members, strict=True):
        feed.share(member)
    with feeds[0].watch(order_id) as watch:
        feeds[1].notify(order_id, OrderStatus.PAID)
        assert await watch.changed(FOR_EVER) is OrderStatus.PAID
    assert (here.told, there.told) == ([], [("order", f"{order_id} paid")])


async def test_what_another_process_did_is_found_without_being_told(
    orders: Harness, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChangeFeed, "notify", lambda *_: None)
    monkeypatch.setattr(streams, "LOOK_AGAIN_SECONDS", 0.01)
    user_id, payment_id = uuid4(), uuid4()
    order = await an_order_to_pay(orders, user_id)
    waiting = wait_until_paid(orders, user_id, order)
    await wait_until(lambda: looks.taken > 1)
    await orders.send(authorized(order, payment_id))
    await orders.send(captured(order, payment_id))
    assert (await waiting).json()["status"] == "paid"


async def test_whose_time_is_over_is_told_the_status_on_the_way(
    orders: Harness, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_AGAIN_SECONDS", FOR_EVER)
    user_id = uuid4()
    order = await an_order_to_pay(orders, user_id)
    url = f"/orders/{order['id']}?wait=0.5&until=paid"
    waiting = asyncio.create_task(orders.http.get(url, headers=orders.as_user(user_id)))
    await wait_until(lambda: looks.taken == 1)
    await orders.send(authorized(order, uuid4()))
    assert (await asyncio.wait_for(waiting, 20)).json()["status"] == "confirmed"
