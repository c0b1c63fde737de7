"""What people do with a shop over HTTP, patiently: an outage is waited out, with the same idempotency key."""

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, ClassVar
from uuid import uuid4

import httpx

from ops.audit import HttpSource, Report, audit
from ops.config import SERVICES
from tests.e2e.processes import OPERATOR, ShopProcesses
from tests.support.waiting import wait_until

PATIENCE = 60.0


@dataclass(frozen=True)
class Customer:
    email: str
    headers: Mapping[str, str]


class Shop:
    """The shop as its users see it: after `come_back` statuses they try again, for `patience` seconds."""

    come_back: ClassVar = frozenset({502, 503, 504})
    patience: ClassVar = PATIENCE

    def __init__(self, processes: ShopProcesses, http: httpx.AsyncClient) -> None:
        self.processes = processes
        self.http = http
        self._operator: dict[str, str] = {}
        self._turns = {service: cycle(processes.replicas(service)) for service in SERVICES}

    def url(self, service: str) -> str:
        """The address of the service's next process, in turn."""
        return self.processes.url(next(self._turns[service]))

    async def call(self, service: str, method: str, path: str, **request: Any) -> httpx.Response:
        """One request, repeated until it is answered by something else than `come back later`.

        Of several processes of the service each is asked in turn.
        """
        answer: httpx.Response | None = None

        async def answered() -> bool:
            nonlocal answer
            try:
                answer = await self.http.request(method, f"{self.url(service)}{path}", **request)
            except httpx.TransportError:
                return False
            return answer.status_code not in self.come_back

        await wait_until(
            answered, timeout=self.patience, message=f"{method} {path} was not answered in {self.patience:g} s"
        )
        assert answer is not None
        return answer

    async def customer(self) -> Customer:
        """Somebody new, logged in."""
        email, password = f"{uuid4().hex}@shop.example", secrets.token_urlsafe(15)
        body = {"email": email, "password": password, "name": "A Reader"}
        registered = await self.call("auth", "POST", "/auth/register", json=body)
        assert registered.status_code == 201, registered.text
        return Customer(email, await self._log_in(email, password))

    async def operator(self) -> Mapping[str, str]:
        if not self._operator:
            self._operator = await self._log_in(*OPERATOR)
        return self._operator

    async def product(self, *, stock: int, amount: int = 1000) -> str:
        """A new product with this many units, known to order_svc, too; its SKU."""
        sku = f"E2E-{uuid4().hex[:12].upper()}"
        listing = {
            "sku": sku,
            "title": "A book",
            "author": "Somebody",
            "category": "Tests",
            "description": "For a test.",
            "price": {"amount": amount, "currency": "EUR"},
        }
        headers = await self.operator()
        created = await self.call("catalog", "POST", "/catalog/products", json=listing, headers=headers)
        assert created.status_code == 201, created.text
        if stock:
            body = {"delta": stock, "reason": "delivery"}
            added = await self.call("catalog", "POST", f"/catalog/products/{sku}/stock", json=body, headers=headers)
            assert added.status_code in {200, 201}, added.text
        return sku

    async def place(self, customer: Customer, sku: str, quantity: int = 1) -> str:
        """Place an order and return its id. A product order_svc has not heard of yet is waited for."""
        key, order_id = str(uuid4()), ""

        async def placed() -> bool:
            nonlocal order_id
            answer = await self.call(
                "order",
                "POST",
                "/orders",
                json={"lines": [{"sku": sku, "quantity": quantity}]},
                headers={**customer.headers, "Idempotency-Key": key},
            )
            if answer.status_code == 422 and answer.json()["type"] == "/problems/unknown-product":
                return False
            assert answer.status_code == 201, answer.text
            order_id = answer.json()["id"]
            return True

        await wait_until(placed, timeout=self.patience, message=f"order_svc never heard of {sku}")
        return order_id

    async def order(self, customer: Customer, order_id: str) -> dict[str, Any]:
        answer = await self.call("order", "GET", f"/orders/{order_id}", headers=customer.headers)
        assert answer.status_code == 200, answer.text
        order: dict[str, Any] = answer.json()
        return order

    async def reaches(self, customer: Customer, order_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until the order has one of these statuses."""
        order: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal order
            order = await self.order(customer, order_id)
            return order["status"] in statuses

        with contextlib.suppress(AssertionError):
            await wait_until(there, timeout=self.patience)
        assert order["status"] in statuses, f"{order_id} is {order['status']}, not {statuses}"
        return order

    async def pay(
        self, customer: Customer, order_id: str, method: str = "pm_card_visa", key: str | None = None
    ) -> dict[str, Any]:
        """Pay; the payment as answered. An order payment_svc has not heard of yet is waited for."""
        key, payment = key or str(uuid4()), {}

        async def paid() -> bool:
            nonlocal payment
            answer = await self.call(
                "payment",
                "POST",
                "/payments",
                json={"order_id": order_id, "payment_method": method},
                headers={**customer.headers, "Idempotency-Key": key},
            )
            if answer.status_code == 404 or answer.json().get("type") == "/problems/idempotency-in-progress":
                return False
            assert answer.status_code == 201, answer.text
            payment = answer.json()
            return True

        await wait_until(paid, timeout=self.patience, message=f"order {order_id} never became payable")
        return payment

    async def cancel(self, customer: Customer, order_id: str) -> httpx.Response:
        return await self.call("order", "POST", f"/orders/{order_id}/cancel", headers=customer.headers)

    async def buy(self, customer: Customer, sku: str) -> str:
        """The whole way, from placing to paid."""
        order_id = await self.place(customer, sku)
        await self.reaches(customer, order_id, "awaiting_payment", "confirmed", "paid")
        await self.pay(customer, order_id)
        await self.reaches(customer, order_id, "paid")
        return order_id

    async def available(self, sku: str) -> int:
        answer = await self.call("catalog", "GET", f"/catalog/products/{sku}")
        return int(answer.json()["available"])

    async def adds_up(self) -> None:
        """The conservation audit: the shop comes to rest, and then stock, money and messages add up."""
        report = await self.audited(wait=self.patience)
        assert report.breaches == [], report.breaches
        assert report.moving == [], report.moving

    async def audited(self, *, wait: float = 0.0) -> Report:
        """What the audit says, after at most `wait` seconds of waiting for rest."""
        headers = await self.operator()

        async def ask(service: str, path: str) -> httpx.Response:
            return await self.call(service, "GET", path, headers=headers)

        source = HttpSource(ask, self.processes.management, self.processes.vhost.name)
        return await audit(source, wait=wait)

    async def _log_in(self, email: str, password: str) -> dict[str, str]:
        body = {"email": email, "password": password, "cookie": False}
        answer = await self.call("auth", "POST", "/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}
