"""Two processes of every service on one PostgreSQL database each: either takes any request, and may die or freeze.

Customers are served by both in turn, so a step of an order mostly meets the process that did not do the last one.
"""

import asyncio
import json
import signal
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from chassis.idempotency_key import REPLAYED_HEADER
from ops.config import SERVICES
from tests.e2e.client import Customer, Shop
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.postgres, pytest.mark.timeout(300)]

CUSTOMERS: Final = 4
LEFT: Final = 4
STOCK: Final = 10_000
PATIENCE: Final = 60.0
NOT_YET: Final = frozenset({"/problems/idempotency-in-progress", "/problems/unknown-product", "/problems/not-found"})


@dataclass
class Customers:
    """People who buy one book after the other, and say everything twice: the second time to the other process."""

    shop: Shop
    sku: str
    orders: list[str] = field(default_factory=list)
    paid: int = 0
    out_of_time: int = 0
    contradictions: list[str] = field(default_factory=list)
    over: bool = False

    async def buy_on(self, customer: Customer) -> None:
        while not self.over:
            order_id = await self.place(customer)
            order = await self._leaves(customer, order_id, "awaiting_payment")
            if order["status"] == "awaiting_payment":
                await self._twice(customer, "payment", "/payments", {"order_id": order_id, "payment_method": CARD})
                order = await self._leaves(customer, order_id, "paid")
            if order["status"] == "paid":
                self.paid += 1
            else:
                assert order["status_reason"] == "payment_timeout", order
                self.out_of_time += 1

    async def place(self, customer: Customer) -> str:
        order = await self._twice(customer, "order", "/orders", {"lines": [{"sku": self.sku, "quantity": 1}]})
        self.orders.append(order["id"])
        return str(order["id"])

    async def _leaves(self, customer: Customer, order_id: str, until: str) -> dict[str, Any]:
        """The order when it is as far as `until`, or ended on the way there."""
        order: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal order
            path = f"/orders/{order_id}?wait=2&until={until}"
            order = (await self.shop.call("order", "GET", path, headers=customer.headers)).json()
            return order["status"] in {until, "cancelled"}

        await wait_until(there, timeout=PATIENCE, message=f"order {order_id} never became {until}")
        return order

    async def _twice(self, customer: Customer, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {**customer.headers, "Idempotency-Key": str(uuid4())}
        first = await self._insist(service, path, body, headers)
        again = await self._insist(service, path, body, headers)
        if again.content != first.content or REPLAYED_HEADER not in again.headers:
            self.contradictions.append(f"{path}: {first.text}, then {again.text}")
        answer: dict[str, Any] = first.json()
        return answer

    async def _insist(self, service: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        answer: httpx.Response | None = None

        async def answered() -> bool:
            nonlocal answer
            answer = await self.shop.call(service, "POST", path, json=body, headers=headers)
            return answer.status_code == 201 or answer.json()["type"] not in NOT_YET

        await wait_until(answered, timeout=PATIENCE, message=f"POST {path} came to nothing")
        assert answer is not None
        assert answer.status_code == 201, answer.text
        return answer


CARD: Final = "pm_card_visa"


async def test_either_process_may_die_or_freeze_and_no_order_is_lost_or_doubled(replicated_shop: Shop) -> None:
    shop = replicated_shop
    before, sku = await orders_of(shop), await shop.product(stock=STOCK)
    customers = [await shop.customer() for _ in range(CUSTOMERS)]
    crowd = Customers(shop, sku)
    left = [await crowd.place(customers[0]) for _ in range(LEFT)]  # both processes will find that their time is over
    buying = [asyncio.create_task(crowd.buy_on(customer)) for customer in customers]
    try:
        for service in SERVICES:
            victim = await leader(shop, service)
            await asyncio.to_thread(shop.processes.kill, victim)
            await goes_on(crowd, buying)
            await asyncio.to_thread(shop.processes.start, victim)
        frozen = await leader(shop, "order")
        shop.processes.send(frozen, signal.SIGSTOP)
        assert await leader(shop, "order", but=frozen) != frozen
        shop.processes.send(frozen, signal.SIGCONT)
        await goes_on(crowd, buying)
    finally:
        crowd.over = True
    await asyncio.gather(*buying)
    for order_id in left:
        order = await shop.reaches(customers[0], order_id, "cancelled")
        assert order["status_reason"] == "payment_timeout"
    assert crowd.contradictions == []
    assert await orders_of(shop) - before == set(crowd.orders)
    assert len(crowd.orders) == len(set(crowd.orders)) == crowd.paid + crowd.out_of_time + LEFT
    assert crowd.paid > 0
    await shop.adds_up()
    assert await shop.available(sku) == STOCK - crowd.paid


async def test_who_watches_an_order_at_one_process_sees_what_happens_at_the_other(replicated_shop: Shop) -> None:
    shop = replicated_shop
    customer, sku = await shop.customer(), await shop.product(stock=1)
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    here, there = (shop.processes.url(process) for process in shop.processes.replicas("order"))
    seen: list[str] = []
    async with shop.http.stream("GET", f"{here}/orders/{order_id}/events", headers=customer.headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                seen.append(json.loads(line.removeprefix("data:"))["status"])
            if seen == ["pending", "awaiting_payment"]:
                path = f"{there}/orders/{order_id}/cancel"
                assert (await shop.http.post(path, headers=customer.headers)).status_code == 200
    assert seen[-1] == "cancelled"  # and with it the stream ended
    await shop.adds_up()


async def leader(shop: Shop, service: str, *, but: str = "") -> str:
    """The process that publishes the service's events, by its own word; `but` is one that cannot be asked."""
    found: list[str] = []

    async def told() -> bool:
        for process in shop.processes.replicas(service):
            if process != but:
                metrics = await shop.http.get(f"{shop.processes.url(process)}/metrics")
                found.extend([process] if "\nrelay_leads 1.0\n" in metrics.text else [])
        return bool(found)

    await wait_until(told, timeout=PATIENCE, message=f"nobody publishes the events of {service}")
    return found[-1]


async def goes_on(crowd: Customers, buying: list[asyncio.Task[None]]) -> None:
    """Until a few more orders were paid."""
    enough = crowd.paid + CUSTOMERS

    def they_are() -> bool:
        for task in buying:
            if task.done():
                task.result()
        return crowd.paid >= enough

    await wait_until(they_are, timeout=PATIENCE, message="nobody can buy any more")


async def orders_of(shop: Shop) -> set[str]:
    """Every order of the shop."""
    headers, found, cursor = await shop.operator(), set[str](), ""
    while True:
        answer = await shop.call("order", "GET", f"/orders?limit=100{cursor}", headers=headers)
        page = answer.json()
        found |= {order["id"] for order in page["items"]}
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"
