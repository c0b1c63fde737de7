"""The whole shop in this process: four services with stores of their own on one broker in memory, and its visitors."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from auth_svc.app import build as build_auth
from auth_svc.settings import AuthSettings
from catalog_svc.app import build as build_catalog
from catalog_svc.settings import CatalogSettings
from chassis.clock import Clock, SystemClock
from chassis.db import Store
from chassis.ids import Uuid7
from chassis.runtime import Environment, Runtime
from chassis.settings import ServiceSettings
from chassis.topology import RETRY_TIERS, dead_queue, inbox_queue
from chassis.tracing import Tracer
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.envelope import Envelope, decode
from contracts.registry import SERVICES
from ops.audit import BrokerFigures, Report, audit, figures
from ops.audit.messages import event_id_of
from order_svc.app import build as build_order
from order_svc.settings import OrderSettings
from payment_svc.app import build as build_payment
from payment_svc.settings import PaymentSettings
from tests.shop.stores import Urls
from tests.support.waiting import wait_until

PASSWORD: Final = "a book about whales"
VISA: Final = "pm_card_visa"
NO_MONEY: Final = "pm_card_insufficientFunds"
NEEDS_ACTION: Final = "pm_card_authenticationRequired"
CAPTURE_FAILS: Final = "pm_card_captureFails"

_CHEAP_HASHES: Final = {"argon2_memory_kib": 8, "argon2_passes": 1}
_PATIENCE: Final = 30.0
_BUILDERS: Final[Mapping[str, tuple[type[ServiceSettings], Callable[[Any, Environment], FastAPI]]]] = {
    "auth": (AuthSettings, build_auth),
    "catalog": (CatalogSettings, build_catalog),
    "order": (OrderSettings, build_order),
    "payment": (PaymentSettings, build_payment),
}


@dataclass
class Visitor:
    """Somebody logged in, with a real token of auth_svc."""

    shop: "Shop"
    email: str
    headers: dict[str, str]

    async def get(self, path: str) -> Any:
        answer = await self.shop.request("GET", path, headers=self.headers)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        """A request under an idempotency key of its own."""
        headers = self.headers | {"Idempotency-Key": str(uuid4())}
        return await self.shop.request("POST", path, json=body, headers=headers)

    async def place(self, **wanted: int) -> str:
        """Order so many of each SKU; the order's id."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in wanted.items()]
        answer = await self.post("/orders", {"lines": lines})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def pay(self, order_id: str, card: str = VISA) -> Any:
        """One attempt, as soon as it is known that the order is to be paid; the payment."""
        answers: list[httpx.Response] = []

        async def answered() -> bool:
            answers.append(await self.post("/payments", {"order_id": order_id, "payment_method": card}))
            return answers[-1].status_code != 404  # payment_svc has not heard of the order yet

        await wait_until(answered, message=f"payment_svc never heard of order {order_id}")
        assert answers[-1].status_code == 201, answers[-1].text
        return answers[-1].json()

    async def buy(self, **wanted: int) -> str:
        """Order, pay, and wait until it is paid."""
        order_id = await self.place(**wanted)
        await self.until(order_id, "awaiting_payment")
        await self.pay(order_id)
        await self.until(order_id, "paid")
        return order_id

    async def cancel(self, order_id: str) -> httpx.Response:
        return await self.post(f"/orders/{order_id}/cancel")

    async def order(self, order_id: str) -> Any:
        return await self.get(f"/orders/{order_id}")

    async def payments(self, order_id: str) -> list[Any]:
        items: list[Any] = (await self.get(f"/payments?order_id={order_id}"))["items"]
        return items

    async def until(self, order_id: str, *statuses: str) -> Any:
        """The order, once it has one of these statuses."""
        seen: list[Any] = []

        async def there() -> bool:
            seen.append(await self.order(order_id))
            return seen[-1]["status"] in statuses

        try:
            await wait_until(there, timeout=_PATIENCE)
        except AssertionError:
            raise AssertionError(f"order {order_id} never became {statuses}: {seen[-1]}") from None
        return seen[-1]


@dataclass
class Shop:
    """A running shop."""

    broker: MemoryBroker
    apps: Mapping[str, FastAPI]
    clients: Mapping[str, httpx.AsyncClient]
    visitors: dict[str, Visitor] = field(default_factory=dict)

    def runtime(self, service: str) -> Runtime[Any]:
        runtime: Runtime[Any] = self.apps[service].state.runtime
        return runtime

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Sent to the service whose path it is, as the edge does."""
        service = path.split("/")[1].split("?")[0].removesuffix("s")
        return await self.clients[service].request(method, path, **options)

    async def register(self, name: str) -> Visitor:
        """A new customer."""
        email = f"{name}@example.com"
        account = {"email": email, "password": PASSWORD, "name": name.title()}
        answer = await self.request("POST", "/auth/register", json=account)
        assert answer.status_code == 201, answer.text
        return await self.log_in(email, PASSWORD)

    async def log_in(self, email: str, password: str) -> Visitor:
        """With a token that every service takes already: its key travels as an event."""
        credentials = {"email": email, "password": password, "cookie": False}
        answer = await self.request("POST", "/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        visitor = Visitor(self, email, {"Authorization": f"Bearer {answer.json()['access_token']}"})

        async def known() -> bool:
            probes = (f"/orders/{uuid4()}", f"/payments/{uuid4()}", "/catalog/audit")
            answers = [await self.request("GET", path, headers=visitor.headers) for path in probes]
            return all(answer.status_code != 401 for answer in answers)

        await wait_until(known, message="the signing key did not reach every service")
        return visitor

    async def operator(self) -> Visitor:
        """The shopkeeper, logged in once."""
        if "operator" not in self.visitors:
            default = AuthSettings()
            password = default.operator_password.get_secret_value()
            self.visitors["operator"] = await self.log_in(default.operator_email, password)
        return self.visitors["operator"]

    async def stock(self, *, price: int = 1199, **counts: int) -> None:
        """List products with so many units each, and wait until they can be ordered."""
        operator = await self.operator()
        for sku, count in counts.items():
            product = {"sku": sku, "title": f"Title of {sku}", "author": "Somebody", "category": "Novels"}
            money = {"amount": price, "currency": "EUR"}
            listed = await operator.post("/catalog/products", {**product, "description": "", "price": money})
            assert listed.status_code == 201, listed.text
            await operator.post(f"/catalog/products/{sku}/stock", {"delta": count, "reason": "delivery"})
        await self.settled()

    async def shelf(self) -> dict[str, tuple[int, int, int]]:
        """Available, reserved and sold of each product."""
        figures = await (await self.operator()).get("/catalog/audit")
        return {row["sku"]: (row["available"], row["reserved"], row["sold"]) for row in figures["stock"]}

    def events(self, order_id: str) -> list[Envelope]:
        """Every event about an order, once each, as they were first published."""
        about = (decode(message.body) for message in self.broker.journal)
        first = {envelope.id: envelope for envelope in reversed([*about])}
        return [envelope for envelope in reversed(first.values()) if envelope.correlationid == UUID(order_id)]

    def types(self, order_id: str) -> set[str]:
        """The names of the facts about an order, without their versions."""
        return {envelope.type.rpartition(".")[0] for envelope in self.events(order_id)}

    async def figures(self) -> dict[str, Any]:
        """What an auditor of the whole shop looks at."""
        return await figures(await self.source())

    async def source(self) -> "MemorySource":
        """This shop as the audit asks it."""
        return MemorySource(self, await self.operator())

    async def settled(self) -> None:
        """Wait until no message, no outbox row and no call to the provider is under way."""
        await wait_until(self._quiet, timeout=_PATIENCE, message="the shop did not come to rest")

    async def audit(self) -> dict[str, Any]:
        """At rest, with nothing missing and nothing too much; the figures."""
        await self.settled()
        reports: list[Report] = []

        async def at_rest() -> bool:
            reports.append(await audit(await self.source(), pause=0.05))
            return not reports[-1].moving

        try:
            await wait_until(at_rest, timeout=_PATIENCE)
        except AssertionError:
            raise AssertionError(f"still moving: {reports[-1].moving}") from None
        assert reports[-1].breaches == []
        found = await self.figures()
        assert found["broker"]["dead"] == dict.fromkeys(SERVICES, 0)
        return found

    async def _quiet(self) -> bool:
        published = len(self.broker.journal)
        if not self._idle():
            return False
        for service in SERVICES:
            if (await self.runtime(service).relay.status()).pending:
                return False
        return self._idle() and len(self.broker.journal) == published

    def _idle(self) -> bool:
        courier = self.apps["payment"].state.runtime.courier
        return self.broker.idle() and not courier.busy


class MemorySource:
    """The audit's way into a shop in this process; what lies in the queues is known exactly."""

    def __init__(self, shop: Shop, operator: Visitor) -> None:
        self._shop = shop
        self._operator = operator

    async def get(self, service: str, path: str) -> Any:
        answer = await self._shop.clients[service].get(path, headers=self._operator.headers)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    async def broker(self) -> BrokerFigures:
        broker = self._shop.broker
        working = [*(inbox_queue(service) for service in SERVICES), *(tier.exchange for tier in RETRY_TIERS)]
        letters = {service: broker.ready(dead_queue(service)) for service in SERVICES}
        return BrokerFigures(
            waiting={name: len(broker.ready(name)) + len(broker.unsettled(name)) for name in working},
            dead={service: len(found) for service, found in letters.items()},
            consumers=dict.fromkeys(SERVICES, 1),
            dead_ids={
                service: frozenset(filter(None, (event_id_of(letter.outgoing.body) for letter in found)))
                for service, found in letters.items()
            },
        )


Settings = Mapping[str, Mapping[str, Any]]
"""Per service, what differs from the settings of these tests."""


@asynccontextmanager
async def open_shop(
    urls: Urls,
    *,
    broker: MemoryBroker | None = None,
    settings: Settings | None = None,
    tracers: Mapping[str, Tracer] | None = None,
) -> AsyncIterator[Shop]:
    """Start the services on migrated stores, one after the other; stop them the other way round."""
    clock: Clock = SystemClock()
    broker = broker or MemoryBroker(clock=clock)
    usual: Settings = {"auth": _CHEAP_HASHES, "order": {"sweep_seconds": 0.05}, "payment": {"sweep_seconds": 0.05}}
    apps: dict[str, FastAPI] = {}
    clients: dict[str, httpx.AsyncClient] = {}
    async with AsyncExitStack() as stack:
        for service, (kind, build) in _BUILDERS.items():
            values = {"database_url": urls[service], **usual.get(service, {}), **(settings or {}).get(service, {})}
            environment = Environment(
                store=Store(urls[service]),
                transport=MemoryTransport(broker, service),
                clock=clock,
                ids=Uuid7(clock),
                tracer=(tracers or {}).get(service) or Tracer(),
            )
            app = apps[service] = build(kind.model_validate(values), environment)
            await stack.enter_async_context(app.router.lifespan_context(app))
            clients[service] = await stack.enter_async_context(
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{service}")
            )
        yield Shop(broker, apps, clients)
