"""Each service is told to stop in turn, under load: it ends in time, and no request it took up is dropped."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import httpx
import pytest

from chassis.idempotency_key import REPLAYED_HEADER
from ops.config import SERVICES
from tests.e2e.client import Customer, Shop
from tests.support.waiting import wait_until

ENDS_WITHIN: Final = 10.0
VISITORS: Final = 4
LOOKS_PER_ORDER: Final = 10

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(240)]


class Load:
    """Visitors of all four services, each request on a connection of its own, so that none is closed while idle."""

    def __init__(self, shop: Shop, http: httpx.AsyncClient, customer: Customer, sku: str) -> None:
        self.orders: list[str] = []
        self.served: Counter[str] = Counter()
        self.bad: list[str] = []
        self.over = False
        self._shop = shop
        self._http = http
        self._customer = customer
        self._sku = sku

    async def visitor(self) -> None:
        """Looks around again and again, and orders now and then."""
        while not self.over:
            await self._place()
            for _ in range(LOOKS_PER_ORDER):
                await self._request("catalog", "GET", f"/catalog/products/{self._sku}")
                await self._request("auth", "GET", "/auth/me")
                await self._request("order", "GET", f"/orders/{self.orders[-1]}")
                await self._request("payment", "GET", f"/payments?order_id={self.orders[-1]}")

    async def _place(self) -> None:
        """A reset may mean that nobody took the request up; repeated, it then is a first one and no replay."""
        key, body = str(uuid4()), {"lines": [{"sku": self._sku, "quantity": 1}]}
        answer = await self._request("order", "POST", "/orders", json=body, headers={"Idempotency-Key": key})
        if answer is None:
            headers = {**self._customer.headers, "Idempotency-Key": key}
            answer = await self._shop.call("order", "POST", "/orders", json=body, headers=headers)
            if REPLAYED_HEADER in answer.headers:
                self.bad.append("an order was taken and not answered")
        self.orders.append(answer.json()["id"])

    async def _request(
        self, service: str, method: str, path: str, *, json: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response | None:
        url = f"{self._shop.processes.url(service)}{path}"
        try:
            answer = await self._http.request(
                method, url, json=json, headers={**self._customer.headers, **(headers or {})}
            )
        except httpx.TransportError:
            return None
        self.served[service] += 1
        if answer.status_code >= 400:
            self.bad.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        timeout=20, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:
        yield client


async def test_no_request_is_dropped_while_services_restart_in_turn(shop: Shop, http: httpx.AsyncClient) -> None:
    customer, sku = await shop.customer(), await shop.product(stock=10_000)
    await shop.buy(customer, sku)
    load = Load(shop, http, customer, sku)
    visitors = [asyncio.create_task(load.visitor()) for _ in range(VISITORS)]
    for service in SERVICES:
        await more_served(load, service)
        assert await asyncio.to_thread(shop.processes.stop, service, within=ENDS_WITHIN) == 0
        await asyncio.to_thread(shop.processes.start, service)
        await more_served(load, service)
    load.over = True
    await asyncio.gather(*visitors)
    assert load.bad == []
    await shop.adds_up()
    await asyncio.gather(*(shop.cancel(customer, order_id) for order_id in load.orders))
    await shop.adds_up()
    assert await shop.available(sku) == 10_000 - 1


async def more_served(load: Load, service: str) -> None:
    enough = load.served[service] + 20
    await wait_until(lambda: load.served[service] >= enough, timeout=30, message=f"{service} serves nobody")
