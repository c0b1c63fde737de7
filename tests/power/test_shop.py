"""The whole shop while one service's system calls fail or are its last, or the broker's disk is full."""

import asyncio
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.client import Customer, Shop
from tests.power.conftest import THOROUGH
from tests.power.faults import fault
from tests.support.waiting import wait_until

CALLS: Final = {"fdatasync": 1, "write": 1, "pwrite64": 5}
"""What a thorough sweep kills at, and how many calls apart: a page of the log takes two `pwrite64`."""

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.strace, pytest.mark.timeout(7200 if THOROUGH else 180)]


@pytest.mark.parametrize(
    ("victim", "call", "number"),
    [
        ("order", "fdatasync", 1),  # the order is in the log, unsynced and unanswered
        ("order", "pwrite64", 12),
        ("order", "fdatasync", 4),
        ("catalog", "fdatasync", 1),
        ("payment", "pwrite64", 30),
        ("payment", "fdatasync", 3),
    ],
)
async def test_killed_at_a_system_call(shop: Shop, tmp_path: Path, victim: str, call: str, number: int) -> None:
    assert await dies_in_a_checkout(shop, victim, call, number, tmp_path), "it never came that far"


@pytest.mark.skipif(not THOROUGH, reason="hours: POWER=full runs it")
@pytest.mark.parametrize("victim", ["order", "catalog", "payment"])
@pytest.mark.parametrize("call", CALLS)
async def test_killed_at_every_system_call(shop: Shop, tmp_path: Path, victim: str, call: str) -> None:
    number = 1
    while await dies_in_a_checkout(shop, victim, call, number, tmp_path):
        number += CALLS[call]
    assert number > 1


async def test_a_consumer_whose_disk_is_full_waits_and_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    customer, sku = await shop.customer(), await shop.product(stock=2)
    await shop.buy(customer, sku)
    async with fault(pid_of(shop, "catalog"), "pwrite64", "error=ENOSPC", tmp_path):
        order_id = await shop.place(customer, sku)
        await wait_until(lambda: says(shop, "catalog", "store"))
        assert (await shop.order(customer, order_id))["status"] == "pending"
    await shop.reaches(customer, order_id, "awaiting_payment")
    await shop.pay(customer, order_id)
    await shop.reaches(customer, order_id, "paid")
    await wait_until(lambda: is_ready(shop, "catalog"))
    await shop.adds_up()


async def test_the_brokers_disk_is_full_orders_are_taken_and_go_out_later(shop: Shop) -> None:
    customer, sku = await shop.customer(), await shop.product(stock=4)
    await shop.buy(customer, sku)
    node = shop.processes.vhost.node.broker
    await asyncio.to_thread(node.ctl, "set_disk_free_limit", "100000GB")
    try:
        orders = [await shop.place(customer, sku)]
        await wait_until(lambda: says(shop, "order", "broker_blocked"), timeout=20)
        orders += [await shop.place(customer, sku) for _ in range(2)]
        assert {(await shop.order(customer, order_id))["status"] for order_id in orders} == {"pending"}
    finally:
        await asyncio.to_thread(node.ctl, "set_disk_free_limit", "50MB")
    for order_id in orders:
        await shop.reaches(customer, order_id, "awaiting_payment")
        await shop.pay(customer, order_id)
        await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def dies_in_a_checkout(shop: Shop, victim: str, call: str, number: int, folder: Path) -> bool:
    """Somebody buys while the victim's Nth such call is its last; it is started again, and everything adds up."""
    customer, sku = await shop.customer(), await shop.product(stock=1)
    process = shop.processes._processes[victim]
    async with fault(process.pid, call, f"signal=SIGKILL:when={number}", folder):
        buying = asyncio.create_task(shop.buy(customer, sku))
        await wait_until(lambda: buying.done() or process.poll() is not None, timeout=60)
    died = process.poll() is not None
    if died:
        shop.processes.wait_dead(victim)
        shop.processes.start(victim)
    order_id = await buying
    await shop.adds_up()
    assert await orders_of(shop, customer) == [order_id]
    return died


async def orders_of(shop: Shop, customer: Customer) -> list[str]:
    answer = await shop.call("order", "GET", "/orders", headers=customer.headers)
    return [order["id"] for order in answer.json()["items"]]


async def says(shop: Shop, service: str, check: str) -> bool:
    """Whether /readyz names this check among those that fail."""
    try:
        answer = await shop.http.get(f"{shop.processes.url(service)}/readyz")
    except httpx.TransportError:
        return False
    return check in answer.json()["failing"]


async def is_ready(shop: Shop, service: str) -> bool:
    return (await shop.http.get(f"{shop.processes.url(service)}/readyz")).is_success


def pid_of(shop: Shop, service: str) -> int:
    return shop.processes._processes[service].pid
