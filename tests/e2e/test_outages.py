"""Processes stop and die, the broker goes away; orders go on, catch up, and everything adds up again."""

import asyncio

import pytest

from ops.config import SERVICES
from tests.e2e.client import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(240)]


async def test_catalog_down_orders_are_taken_and_caught_up(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=3)
    await shop.buy(customer, sku)
    assert shop.processes.stop("catalog") == 0
    orders = [await shop.place(customer, sku) for _ in range(2)]
    assert [(await shop.order(customer, order_id))["status"] for order_id in orders] == ["pending", "pending"]
    shop.processes.start("catalog")
    for order_id in orders:
        await shop.reaches(customer, order_id, "awaiting_payment")
        await shop.pay(customer, order_id)
        await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def test_payment_down_orders_reach_awaiting_payment(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=2)
    assert shop.processes.stop("payment") == 0
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    shop.processes.start("payment")
    await shop.pay(customer, order_id)
    await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def test_order_down_the_shelves_stay_open_and_captures_arrive_later(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1)
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    await shop.pay(customer, order_id, "pm_card_chargeDeclined")  # payment_svc knows the order
    assert shop.processes.stop("order") == 0
    assert await shop.available(sku) == 0
    payment = await shop.pay(customer, order_id)
    assert payment["status"] == "authorized"
    shop.processes.start("order")
    await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def test_auth_down_everybody_logged_in_goes_on_even_after_a_restart_of_the_others(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1)
    await shop.operator()
    assert shop.processes.stop("auth") == 0
    for service in ("order", "payment", "catalog"):
        assert shop.processes.stop(service) == 0
    shop.processes.start("order", "payment", "catalog")
    await shop.buy(customer, sku)
    shop.processes.start("auth")
    await shop.adds_up()


@pytest.mark.parametrize("victim", SERVICES)
async def test_a_service_is_killed_in_the_middle_of_orders(shop: Shop, victim: str) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=20)
    await shop.buy(customer, sku)

    async def go_on(order_id: str) -> None:
        await shop.reaches(customer, order_id, "awaiting_payment")
        await shop.pay(customer, order_id)
        await shop.reaches(customer, order_id, "paid")

    orders = [await shop.place(customer, sku) for _ in range(6)]
    rest = [asyncio.create_task(go_on(order_id)) for order_id in orders]
    shop.processes.kill(victim)
    shop.processes.start(victim)
    await asyncio.gather(*rest)
    await shop.adds_up()
