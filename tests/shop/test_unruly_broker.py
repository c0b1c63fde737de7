"""Every event twice and the queues out of order: whatever the seed, a day in the shop ends as on a calm one."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from chassis.transport.memory import MemoryBroker
from tests.shop.shop import CAPTURE_FAILS, NEEDS_ACTION, NO_MONEY, Settings, Shop, Visitor, open_shop
from tests.shop.stores import Urls
from tests.shop.unruly import UnrulyBroker

pytestmark = pytest.mark.exhaustive

SEEDS = range(10)
SETTINGS: Settings = {"order": {"payment_timeout_seconds": 600}}


@dataclass
class Day:
    """How a day ended: status and money of each order by its buyer, and the shelf."""

    orders: dict[str, tuple[str, int, int]]
    shelf: dict[str, tuple[int, int, int]]


async def pays(buyer: Visitor) -> str:
    return await buyer.buy(MOBY=1, EMMA=2)


async def is_declined_first(buyer: Visitor) -> str:
    order_id = await buyer.place(MOBY=2)
    await buyer.until(order_id, "awaiting_payment")
    assert (await buyer.pay(order_id, NO_MONEY))["status"] == "declined"
    await buyer.pay(order_id)
    await buyer.until(order_id, "paid")
    return order_id


async def is_asked_by_the_bank(buyer: Visitor) -> str:
    order_id = await buyer.place(EMMA=1)
    await buyer.until(order_id, "awaiting_payment")
    payment = await buyer.pay(order_id, NEEDS_ACTION)
    await buyer.post(f"/payments/{payment['id']}/confirm")
    await buyer.until(order_id, "paid")
    return order_id


async def wants_too_much(buyer: Visitor) -> str:
    order_id = await buyer.place(MOBY=1, EMMA=99)
    await buyer.until(order_id, "rejected")
    return order_id


async def cancels_at_once(buyer: Visitor) -> str:
    order_id = await buyer.place(MOBY=3)
    await buyer.cancel(order_id)
    return order_id


async def cancels_before_paying(buyer: Visitor) -> str:
    order_id = await buyer.place(MOBY=1)
    await buyer.until(order_id, "awaiting_payment")
    await buyer.cancel(order_id)
    return order_id


async def cancels_while_paying(buyer: Visitor) -> str:
    """Authorised and cancelled in the same breath: whoever is first, no money is kept unless the order is paid."""
    order_id = await buyer.place(MOBY=1)
    await buyer.until(order_id, "awaiting_payment")
    await buyer.pay(order_id)
    await buyer.cancel(order_id)
    await buyer.until(order_id, "paid", "cancelled")
    if (await buyer.order(order_id))["status"] == "paid":
        await buyer.cancel(order_id)
    return order_id


async def cancels_after_paying(buyer: Visitor) -> str:
    order_id = await pays(buyer)
    assert (await buyer.cancel(order_id)).is_success
    await buyer.until(order_id, "refunded")
    return order_id


async def has_a_bad_bank(buyer: Visitor) -> str:
    order_id = await buyer.place(EMMA=1)
    await buyer.until(order_id, "awaiting_payment")
    await buyer.pay(order_id, CAPTURE_FAILS)
    await buyer.until(order_id, "cancelled")
    return order_id


BUYERS = {
    "anne": pays,
    "bert": is_declined_first,
    "cora": is_asked_by_the_bank,
    "dirk": wants_too_much,
    "ella": cancels_at_once,
    "fred": cancels_before_paying,
    "gina": cancels_while_paying,
    "hugo": cancels_after_paying,
    "iris": has_a_bad_bank,
}
CALM_END = Day(
    orders={
        "anne": ("paid", 3 * 1199, 0),
        "bert": ("paid", 2 * 1199, 0),
        "cora": ("paid", 1199, 0),
        "dirk": ("rejected", 0, 0),
        "ella": ("cancelled", 0, 0),
        "fred": ("cancelled", 0, 0),
        "gina": ("called off", 0, 0),
        "hugo": ("refunded", 3 * 1199, 3 * 1199),
        "iris": ("cancelled", 0, 0),
    },
    shelf={"MOBY": (17, 0, 3), "EMMA": (17, 0, 3)},
)


async def a_day(shop: Shop) -> Day:
    """All buyers at once; every one of them does what they do, and everything is accounted for."""
    await shop.stock(MOBY=20, EMMA=20)
    buyers = {name: await shop.register(name) for name in BUYERS}
    placed = await asyncio.gather(*(BUYERS[name](buyer) for name, buyer in buyers.items()))
    figures = await shop.audit()
    for buyer, order_id in zip(buyers.values(), placed, strict=True):
        facts = [entry["event"] for entry in (await buyer.get(f"/orders/{order_id}/timeline"))["items"]]
        assert len(facts) == len(set(facts)), "a fact is on the timeline once, however often it came"
    orders = {order["id"]: order for order in figures["order"]["orders"]}
    ends = {name: _end(name, orders[order_id]) for name, order_id in zip(BUYERS, placed, strict=True)}
    return Day(ends, await shop.shelf())


def _end(name: str, order: Any) -> tuple[str, int, int]:
    """Gina's order ends cancelled or refunded, as the race goes; either way nothing is kept, which is the same."""
    end = (order["status"], order["captured"], order["refunded"])
    if name == "gina" and order["status"] in {"cancelled", "refunded"} and order["captured"] == order["refunded"]:
        return ("called off", 0, 0)
    return end


async def test_a_calm_day(shop_urls: Urls) -> None:
    async with open_shop(shop_urls, broker=MemoryBroker(), settings=SETTINGS) as shop:
        assert await a_day(shop) == CALM_END


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", SEEDS)
async def test_an_unruly_day_ends_as_a_calm_one(shop_urls: Urls, seed: int) -> None:
    broker = UnrulyBroker(seed)
    async with open_shop(shop_urls, broker=broker, settings=SETTINGS) as shop:
        assert await a_day(shop) == CALM_END
    assert broker.overtaken > 10, "the broker was too well behaved to prove anything"


@pytest.mark.parametrize("templates", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("seed", SEEDS[:2])
async def test_so_it_does_on_postgresql(shop_urls: Urls, seed: int) -> None:
    async with open_shop(shop_urls, broker=UnrulyBroker(seed), settings=SETTINGS) as shop:
        assert await a_day(shop) == CALM_END


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", SEEDS[:3])
async def test_the_last_book_is_sold_once(shop_urls: Urls, seed: int) -> None:
    async with open_shop(shop_urls, broker=UnrulyBroker(seed), settings=SETTINGS) as shop:
        await shop.stock(LAST=1)
        buyers = [await shop.register(name) for name in ("anne", "bert", "cora")]

        async def try_to_buy(buyer: Visitor) -> str:
            order_id = await buyer.place(LAST=1)
            status = (await buyer.until(order_id, "awaiting_payment", "rejected"))["status"]
            if status == "awaiting_payment":
                await buyer.pay(order_id)
                status = (await buyer.until(order_id, "paid"))["status"]
            return str(status)

        ends = await asyncio.gather(*(try_to_buy(buyer) for buyer in buyers))
        assert sorted(ends) == ["paid", "rejected", "rejected"]
        figures = await shop.audit()
        assert figures["payment"]["payments_by_state"] == {"captured": 1}
        assert await shop.shelf() == {"LAST": (0, 0, 1)}
