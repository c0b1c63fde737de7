"""R4 in the whole shop: four real services and a broker, a company that lies, payment_svc killed in the middle."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from ops.definitions import vhost_definitions
from tests.e2e.client import Customer, Shop
from tests.e2e.processes import ShopProcesses
from tests.fixtures.broker import RabbitNode, RabbitVhost
from tests.lying_provider.processes import Company
from tests.lying_provider.trial import LIES
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(300)]

CUSTOMERS, ORDERS_EACH, KILLS = 12, 5, 3
PATIENCE = 150.0


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    company = Company(tmp_path, {**LIES, "seed": 4})
    yield company
    company.close()


@pytest.fixture
async def shop(rabbit: RabbitNode, tmp_path: Path, company: Company) -> AsyncIterator[Shop]:
    name = f"lies-{secrets.token_hex(4)}"
    with rabbit.management() as management:
        management.load_definitions(vhost_definitions(name))
    environment = {
        **company.merchant_environment,
        "PAYMENT_CALL_SECONDS": "1",
        "PAYMENT_RECONCILE_SECONDS": "5",
    }
    processes = ShopProcesses(tmp_path, RabbitVhost(rabbit, name), environment)
    try:
        await asyncio.to_thread(processes.migrate)
        await company.start(SIMULATOR_WEBHOOK_URL=f"{processes.url('payment')}/payments/webhooks/remote")
        await asyncio.to_thread(processes.start)
        await asyncio.to_thread(processes.wait_ready)
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            yield Shop(processes, http)
    finally:
        await asyncio.to_thread(processes.close)
        with rabbit.management() as management:
            management.delete(f"vhosts/{name}")


async def test_sixty_orders_three_ledgers_no_cent_astray(shop: Shop, company: Company) -> None:
    sku = await shop.product(stock=CUSTOMERS * ORDERS_EACH)
    customers = [await shop.customer() for _ in range(CUSTOMERS)]
    buying = [asyncio.create_task(_shop_around(shop, customer, sku)) for customer in customers]

    for _ in range(KILLS):
        goal = company.count() + CUSTOMERS // 2
        await wait_until(lambda goal=goal: company.count() >= goal, timeout=PATIENCE, message="nobody pays")  # type: ignore[misc] # binds the loop's value
        await asyncio.to_thread(shop.processes.kill, "payment")
        await asyncio.to_thread(shop.processes.start, "payment")
    bought = list(zip(customers, [await task for task in buying], strict=True))
    await company.behave()
    await company.tell_again()  # or what failed six times in a row would wait five minutes
    await asyncio.gather(*(_be_paid_and_send_one_back(shop, *each) for each in bought))
    await _nothing_is_unanswered(shop)
    orders = [order_id for _, some in bought for order_id in some]

    await shop.adds_up()
    there = await company.payments()
    for order_id in orders:
        captures = sum(payment["captures"] for payment in there if payment["order_id"] == order_id)
        assert captures == 1, order_id
    assert {payment["status"] for payment in there} <= {"captured", "declined", "voided"}
    assert sum(p["captured"] for p in there) == 1000 * len(orders)
    assert sum(p["refunded"] for p in there) == 1000 * len(customers)
    assert all(sum(accounts.values()) == 0 for accounts in (await company.ledger()).values())


async def _shop_around(shop: Shop, customer: Customer, sku: str) -> list[str]:
    """Five orders, each paid by many impatient clicks, until every click is answered."""
    return [await _buy(shop, customer, sku) for _ in range(ORDERS_EACH)]


async def _buy(shop: Shop, customer: Customer, sku: str) -> str:
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    keys = [str(uuid4()), str(uuid4())]
    await asyncio.gather(*(_click(shop, customer, order_id, keys[number % 2]) for number in range(4)))
    return order_id


async def _be_paid_and_send_one_back(shop: Shop, customer: Customer, orders: list[str]) -> None:
    """The company tells the truth by now, so every order becomes paid; the last one is cancelled."""
    for order_id in orders:
        paid = partial(_is_paid, shop, customer, order_id)
        await wait_until(paid, timeout=PATIENCE, message=f"{order_id} is never paid")
    assert (await shop.cancel(customer, orders[-1])).status_code == 200
    await shop.reaches(customer, orders[-1], "refunded", "refunding")


async def _is_paid(shop: Shop, customer: Customer, order_id: str) -> bool:
    return bool((await shop.order(customer, order_id))["status"] == "paid")


async def _click(shop: Shop, customer: Customer, order_id: str, key: str) -> None:
    """Pay, until it is answered by anything but "come back later"."""
    body = {"order_id": order_id, "payment_method": "pm_card_visa"}
    headers = {**customer.headers, "Idempotency-Key": key}

    async def answered() -> bool:
        answer = await shop.call("payment", "POST", "/payments", json=body, headers=headers)
        return answer.status_code != 404 and not answer.json().get("type", "").endswith("idempotency-in-progress")

    await wait_until(answered, timeout=PATIENCE, message=f"{order_id}: no answer to a payment")


async def _nothing_is_unanswered(shop: Shop) -> None:
    headers = await shop.operator()

    async def quiet() -> bool:
        audit = (await shop.call("payment", "GET", "/payments/audit", headers=headers)).json()
        return not audit["operations_pending"]

    await wait_until(quiet, timeout=PATIENCE, message="calls to the provider are never answered")
