"""The broker dies again and again, or lacks a binding, while people order: nothing is lost, everybody reads again."""

import asyncio
import os
from typing import Final
from urllib.parse import quote

import pytest

from chassis.topology import EVENTS, JOURNAL, MONITORING_USER, inbox_queue
from contracts.order import OrderPlaced
from ops.audit import Finding
from ops.config import SERVICES
from ops.definitions import missing_bindings, vhost_definitions
from tests.e2e.client import Customer, Shop
from tests.support.waiting import wait_until

DEATHS: Final = int(os.environ.get("BROKER_DEATHS", "2"))
BACK_WITHIN: Final = 15.0

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(120 + 60 * DEATHS)]


async def pays(shop: Shop, customer: Customer, order_id: str) -> None:
    await shop.reaches(customer, order_id, "awaiting_payment")
    await shop.pay(customer, order_id)
    await shop.reaches(customer, order_id, "paid")


async def test_everybody_reads_again_each_time_the_broker_died(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1_000)
    vhost, orders = shop.processes.vhost, [await shop.place(customer, sku)]

    def one_reader_each() -> bool:
        return all(vhost.consumers(inbox_queue(service)) == 1 for service in SERVICES)

    await asyncio.to_thread(vhost.make_durable)
    for death in range(DEATHS):
        orders += [await shop.place(customer, sku) for _ in range(3)]
        await asyncio.to_thread(vhost.node.broker.kill)
        orders += [await shop.place(customer, sku) for _ in range(3)]
        await asyncio.to_thread(vhost.node.broker.restart)
        await wait_until(
            lambda: asyncio.to_thread(one_reader_each),
            timeout=BACK_WITHIN,
            message=f"after death {death + 1} somebody does not read, or twice",
        )
    await asyncio.gather(*(pays(shop, customer, order_id) for order_id in orders))
    await shop.adds_up()


def unbind(shop: Shop, queue: str, routing_key: str) -> None:
    vhost = quote(shop.processes.vhost.name, safe="")
    with shop.processes.management() as management:
        management.delete(f"bindings/{vhost}/e/{EVENTS}/q/{queue}/{quote(routing_key, safe='')}")


def bind_again(shop: Shop) -> None:
    with shop.processes.management() as management:
        management.load_definitions(vhost_definitions(shop.processes.vhost.name))


def missing(shop: Shop) -> list[str]:
    with shop.processes.vhost.node.management(MONITORING_USER) as management:
        return missing_bindings(management.bindings(shop.processes.vhost.name))


async def waiting_events(shop: Shop) -> int:
    """How many events order_svc's metrics say have not left."""
    lines = (await shop.call("order", "GET", "/metrics")).text.splitlines()
    return next(int(float(line.split()[-1])) for line in lines if line.startswith("outbox_pending"))


async def test_an_event_nobody_would_get_stays_until_there_is_a_binding(shop: Shop) -> None:
    customer, sku = await shop.customer(), await shop.product(stock=10)
    await shop.buy(customer, sku)
    try:
        unbind(shop, inbox_queue("catalog"), OrderPlaced.wire_name)
        unbind(shop, JOURNAL, "#")
        orders = [await shop.place(customer, sku) for _ in range(5)]
        await wait_until(lambda: returned(shop, 5), message="the metrics do not tell of the returned events")
        assert await waiting_events(shop) == 5
    finally:
        bind_again(shop)
    await asyncio.gather(*(pays(shop, customer, order_id) for order_id in orders))
    await shop.adds_up()


async def returned(shop: Shop, events: int) -> bool:
    text = (await shop.call("order", "GET", "/metrics")).text
    line = f'events_published_total{{outcome="returned",type="{OrderPlaced.wire_name}"}} '
    return any(float(each.removeprefix(line)) >= events for each in text.splitlines() if each.startswith(line))


async def test_an_event_one_reader_did_not_get_is_missed_and_can_be_sent_again(shop: Shop) -> None:
    """The journal took it, so the broker confirmed it: the audit names what a reader has not handled.

    Sent outbox rows are kept for days; sent again, they reach whom they did not, and the others drop them by id.
    """
    customer, sku = await shop.customer(), await shop.product(stock=10)
    await shop.buy(customer, sku)
    await shop.adds_up()
    try:
        unbind(shop, inbox_queue("catalog"), OrderPlaced.wire_name)
        orders = [await shop.place(customer, sku) for _ in range(3)]
        await wait_until(lambda: confirmed(shop))
        assert missing(shop) == ["catalog.inbox does not get 'order.placed.v1' of shop.events"]
    finally:
        bind_again(shop)
    assert missing(shop) == []
    lost = await never_handled(shop, 3)
    again = {"ids": [finding.ids[0] for finding in lost]}
    answer = await shop.call("order", "POST", "/orders/outbox/resend", json=again, headers=await shop.operator())
    assert {item["outcome"] for item in answer.json()["items"]} == {"resent"}, answer.text
    await asyncio.gather(*(pays(shop, customer, order_id) for order_id in orders))
    await shop.adds_up()


async def confirmed(shop: Shop) -> bool:
    return await waiting_events(shop) == 0


async def never_handled(shop: Shop, events: int) -> list[Finding]:
    """What the audit says a reader missed, as soon as it is sure that it is not on its way."""
    found: list[Finding] = []

    async def all_of_them() -> bool:
        report = await shop.audited()
        found[:] = [finding for finding in report.breaches if finding.sent_by == "order"]
        return len(found) == events

    await wait_until(all_of_them, timeout=60, message="the audit does not miss them")
    return found
