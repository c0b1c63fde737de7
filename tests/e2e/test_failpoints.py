"""A process dies, or an exception appears, at each border of delivery: no order is lost, none is doubled.

Usually each point is struck where it matters most, both ways, at the first and the second hit, and by one death in
every other service that comes there; with EVERY_FAILPOINT set (`make failpoints`) it is the whole cross product.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from chassis.failpoints import POINTS
from ops.config import SERVICES
from tests.e2e.borders import EVERYTHING, REACHED, PatientShop, Stumbling, cases
from tests.e2e.processes import ShopProcesses
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(600 if EVERYTHING else 240)]

ROOMS = ["provider", "idempotency", "writer", "relay", "consumer", "sweep"]
WITH_MONEY = [ROOMS[:1], ROOMS[1:3], ROOMS[3:]] if EVERYTHING else [ROOMS]
QUICK = [
    (service, point)
    for service in ("auth", "catalog", "order")
    for point in POINTS
    if point in REACHED[service] and list(cases(service, point))
]
WITH_A_DEADLINE = ["sweep.after", "writer.after_commit"]
if EVERYTHING:
    WITH_A_DEADLINE += ["sweep.before", "writer.before_commit"]


@pytest.fixture
async def shop(shop_processes: ShopProcesses) -> AsyncIterator[PatientShop]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        yield PatientShop(shop_processes, http)
    for service in SERVICES:
        if not shop_processes.running(service):
            shop_processes.start(service)
        shop_processes.arm(service, "")
    shop_processes.wait_ready()


async def test_every_border_is_on_somebodys_way(shop: PatientShop) -> None:
    """A point that nobody comes to any more proves nothing: each has to be met, by everyone who should."""
    for service, points in REACHED.items():
        fails_once = f"{service}.consumer.before_handle:raise" if "consumer.before_handle" in points else ""
        shop.processes.arm(service, fails_once)
    customer = await shop.customer()
    await shop.buy(customer, await shop.product(stock=1))
    unmet: dict[str, set[str]] = {}

    def all_met() -> bool:
        for service, points in REACHED.items():
            unmet[service] = {point for point in points if f"{service}.{point}" not in shop.processes.trace(service)}
        return not any(unmet.values())

    with contextlib.suppress(AssertionError):
        await wait_until(all_met, timeout=20)
    assert {service: points for service, points in unmet.items() if points} == {}
    assert set(POINTS) == set().union(*REACHED.values())
    await shop.adds_up()


@pytest.mark.parametrize("point", ["consumer.before_retry", "consumer.after_retry"])
async def test_dying_over_a_dead_letter_keeps_it(shop: PatientShop, point: str) -> None:
    """At worst it lies there twice, under the same id."""
    await shop.adds_up()
    shop.processes.arm("catalog", f"catalog.{point}:kill")
    vhost, letter = quote(shop.processes.vhost.name, safe=""), uuid4().hex
    with shop.processes.management() as management:
        poison = {"payload": "no event", "payload_encoding": "string", "routing_key": "catalog.inbox"}
        management.post(f"exchanges/{vhost}/amq.default/publish", {**poison, "properties": {"message_id": letter}})
        assert await asyncio.to_thread(shop.processes.wait_dead, "catalog") == -signal.SIGKILL
        await asyncio.to_thread(shop.processes.start, "catalog")
        await shop.buy(await shop.customer(), await shop.product(stock=1))

        def letters() -> list[str]:
            return [found["properties"]["message_id"] for found in management.peek(vhost, "catalog.dead", 10)]

        expected = [letter] if point == "consumer.before_retry" else [letter] * 2
        await wait_until(lambda: letters() == expected, timeout=20)
        management.delete(f"queues/{vhost}/catalog.dead/contents")
    await shop.adds_up()


@pytest.mark.parametrize("point", WITH_A_DEADLINE)
async def test_dying_while_a_deadline_is_kept(shop: PatientShop, point: str) -> None:
    """The order nobody pays is cancelled all the same, once, and its stock is there again."""
    customer, sku = await shop.customer(), await shop.product(stock=1)
    processes = shop.processes
    processes.kill("order")
    processes.launch("order", extra={"ORDER_PAYMENT_TIMEOUT_SECONDS": "1"})
    processes.wait_ready("order")
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    await wait_until(lambda: "order.relay.after_mark" in processes.trace("order"))
    processes.arm("order", f"order.{point}:kill")
    assert await asyncio.to_thread(processes.wait_dead, "order") == -signal.SIGKILL
    await asyncio.to_thread(processes.start, "order")
    order = await shop.reaches(customer, order_id, "cancelled")
    assert order["status_reason"] == "payment_timeout"
    await shop.adds_up()
    assert await shop.available(sku) == 1


async def _stumbling(shop: PatientShop) -> Stumbling:
    return Stumbling(shop, await shop.customer(), await shop.product(stock=1_000))


@pytest.mark.parametrize(("service", "point"), QUICK)
async def test_stumbling_at_a_border(shop: PatientShop, service: str, point: str) -> None:
    people = await _stumbling(shop)
    for case in cases(service, point):
        await people.at(case)
    await people.everybody_ends()
    await shop.adds_up()


@pytest.mark.parametrize("rooms", WITH_MONEY, ids="+".join)
async def test_stumbling_with_money_in_the_hand(shop: PatientShop, rooms: list[str]) -> None:
    """All of them first, the ends after: what was begun with the provider is left alone for a lease of 20 seconds."""
    people = await _stumbling(shop)
    for point in POINTS:
        if point in REACHED["payment"] and point.partition(".")[0] in rooms:
            for case in cases("payment", point):
                await people.at(case)
    await people.everybody_ends()
    await shop.adds_up()
