"""The broker dies again and again, or lacks a binding, while people order: nothing is lost, everybody reads again."""

import asyncio
import os
from typing import Final
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.topology import EVENTS, JOURNAL, MONITORING_USER, inbox_queue
from contracts.order import OrderPlaced
from ops.config import SERVICES
from ops.definitions import missing_bindings, vhost_definitions
from order_svc.store import RUNTIME
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


async def test_an_event_one_reader_did_not_get_is_missed_and_can_be_offered_again(shop: Shop) -> None:
    """The journal took it, so the broker confirmed it: the audit counts what a reader has not handled.

    Sent outbox rows are kept for days; offered again, they reach whom they did not, and the others drop them by id.
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
    assert await not_handled(shop) == 3
    outbox = RUNTIME.outbox
    engine = create_async_engine(shop.processes.stores["order"])
    async with engine.begin() as connection:
        await connection.execute(outbox.update().values(published_at=sa.null()))
    await engine.dispose()
    await asyncio.gather(*(pays(shop, customer, order_id) for order_id in orders))
    await shop.adds_up()


async def confirmed(shop: Shop) -> bool:
    return await waiting_events(shop) == 0


async def not_handled(shop: Shop) -> int:
    """Placed orders that catalog_svc has not heard of, as the audit compares them."""
    headers = await shop.operator()
    sent = (await shop.call("order", "GET", "/orders/audit", headers=headers)).json()["sent"]
    received = (await shop.call("catalog", "GET", "/catalog/audit", headers=headers)).json()["received"]
    return int(sent[OrderPlaced.wire_name] - received[OrderPlaced.wire_name])
