"""The trial of R4: many orders paid at once, many times, at a company that lies, by a service that keeps dying.

payment_svc and the company are processes, the broker is real; `Desk` plays order_svc. At the end three sets of books
(orders, payments, the company's) have to agree to the unit, and nothing may have been taken twice.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import httpx

from chassis.topology import shop_topology
from chassis.transport.amqp import AmqpTransport
from contracts.money import Money
from ops.broker import free_port
from tests.lying_provider.desk import Desk, Sale
from tests.lying_provider.processes import Company, payment_service
from tests.support.tokens import TokenMint
from tests.support.waiting import wait_until

LIES: Final[Mapping[str, Any]] = {
    "hang_after": 0.2,
    "error_after": 0.1,
    "reset_after": 0.03,
    "error_before": 0.03,
    "webhook_copies": 3,
    "webhook_late_seconds": 2.0,
}
CARDS: Final = ("pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_card_lostAnswer")
_PATIENCE: Final = 0.2
"""Seconds a client waits before it asks again."""

FATES: Final = ("keep", "keep", "keep", "cancel when paid", "cancel early")


@dataclass(frozen=True)
class Plan:
    """How much of it. `calls`: payment requests per order at once, under half as many keys."""

    orders: int = 60
    calls: int = 6
    at_once: int = 25
    kill_every: float = 3.0
    """Seconds; 0: never."""
    most_kills: int = 1_000_000
    seed: int = 1
    linger: float = 5.0
    """Seconds of lies and kills after the last click: captures, voids and refunds are on their way."""
    settle_seconds: float = 120.0
    faults: Mapping[str, Any] = field(default_factory=lambda: dict(LIES))


@dataclass
class Report:
    """What came of it. Sums are in minor units; `breaches` has to be empty."""

    orders: int
    seconds: float
    calls: dict[str, int]
    kills: int
    captures: int
    captured: int
    refunded: int
    most_captures_of_an_order: int
    webhooks: dict[str, int]
    breaches: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Mortal(Protocol):
    """payment_svc, as a process or not."""

    url: str
    kills: int

    def kill(self) -> None: ...

    async def start(self) -> None: ...


class Candid(Protocol):
    """The company when it is asked by its own people."""

    async def behave(self, **faults: Any) -> None: ...

    async def tell_again(self) -> None: ...

    async def payments(self) -> list[dict[str, Any]]: ...

    async def ledger(self) -> dict[str, dict[str, int]]: ...


class Trial:
    """One run of a plan."""

    def __init__(
        self,
        plan: Plan,
        desk: Desk,
        service: Mortal,
        company: Candid,
        mint: TokenMint,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._plan = plan
        self._desk = desk
        self._service = service
        self._company = company
        self._mint = mint
        self._dice = random.Random(plan.seed)
        self._answers: Counter[str] = Counter()
        limits = httpx.Limits(max_connections=plan.at_once * plan.calls)
        self._http = httpx.AsyncClient(
            base_url=service.url, timeout=15, trust_env=False, limits=limits, transport=transport
        )

    async def run(self) -> Report:
        """Buy, be killed, come to rest, compare."""
        began = time.monotonic()
        killer = asyncio.create_task(self._kill_now_and_then())
        slots = asyncio.Semaphore(self._plan.at_once)
        sales = [self._a_sale(number) for number in range(self._plan.orders)]
        try:
            await asyncio.gather(*(self._click(sale, slots) for sale in sales))
            await asyncio.sleep(self._plan.linger)
        finally:
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
        await self._company.behave()
        await self._company.tell_again()  # or what failed six times in a row would wait five minutes
        await asyncio.gather(*(self._finish(sale) for sale in sales))
        report = await self._come_to_rest(began)
        await self._http.aclose()
        return report

    def _a_sale(self, number: int) -> Sale:
        return Sale(Money(amount=1000 + number, currency="EUR"), self._dice.choice(FATES))

    async def _kill_now_and_then(self) -> None:
        while self._plan.kill_every and self._service.kills < self._plan.most_kills:
            await asyncio.sleep(self._plan.kill_every)
            self._service.kill()
            await self._service.start()

    async def _click(self, sale: Sale, slots: asyncio.Semaphore) -> None:
        """Ask for an order to be paid, and pay it many times at once, until every click is answered."""
        async with slots:
            await self._desk.ask_for_payment(sale)
            keys = [str(uuid4()) for _ in range(max(1, self._plan.calls // 2))]
            cards = [self._dice.choice(CARDS) for _ in keys]
            calls = [self._pay(sale, keys[n % len(keys)], cards[n % len(keys)]) for n in range(self._plan.calls)]
            if sale.fate == "cancel early":
                await asyncio.gather(*calls, self._desk.cancel(sale))
            else:
                await asyncio.gather(*calls)

    async def _finish(self, sale: Sale) -> None:
        """Whose cards were all declined pays with a good one."""
        while sale.status == "awaiting_payment":
            if await self._an_attempt_is_alive(sale):
                await asyncio.sleep(_PATIENCE)
            else:
                await self._pay(sale, str(uuid4()), "pm_card_visa")

    async def _pay(self, sale: Sale, key: str, card: str) -> None:
        """One call, repeated under its key until it is answered. The service may not have heard of our key yet."""
        body = {"order_id": str(sale.id), "payment_method": card}
        while True:
            headers = {**self._mint.headers(sale.user_id), "Idempotency-Key": key}
            answer = await self._ask("POST", "/payments", json=body, headers=headers)
            if answer is None:
                continue
            document = answer.json()
            word = document.get("status") if answer.status_code == 201 else document["type"].rpartition("/")[2]
            self._answers[str(word)] += 1
            if word not in {
                "unauthenticated",
                "not-found",
                "idempotency-in-progress",
                "overloaded",
                "storage-unavailable",
            }:
                assert answer.status_code in {201, 409}, answer.text
                return
            await asyncio.sleep(_PATIENCE)

    async def _an_attempt_is_alive(self, sale: Sale) -> bool:
        """Whether something is held, or may turn out to be."""
        headers = self._mint.headers(sale.user_id)
        answer = await self._ask("GET", "/payments", params={"order_id": str(sale.id)}, headers=headers)
        if answer is None or answer.status_code != 200:
            return False
        return any(item["status"] not in {"declined", "voided"} for item in answer.json()["items"])

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        try:
            return await self._http.request(method, path, **options)
        except httpx.TransportError:
            self._answers["no answer"] += 1
            await asyncio.sleep(_PATIENCE)
            return None

    async def _audit(self, path: str = "") -> dict[str, Any]:
        document: dict[str, Any] = {}

        async def told() -> bool:
            answer = await self._ask("GET", f"/payments/audit{path}", headers=self._mint.headers(roles=("operator",)))
            if answer is None or answer.status_code != 200:
                return False
            document.update(answer.json())
            return True

        await wait_until(told, timeout=30, message=f"/payments/audit{path} is not told")
        return document

    async def _our_orders(self) -> dict[str, tuple[int, int]]:
        """What payment_svc has captured and refunded, by order."""
        found: dict[str, tuple[int, int]] = {}
        after = ""
        while True:
            page = await self._audit(f"/orders?limit=1000{after}")
            found |= {row["order_id"]: (row["captured"], row["refunded"]) for row in page["items"]}
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def _come_to_rest(self, began: float) -> Report:
        """Compare until every order has ended and the books agree, or patience does."""
        deadline = time.monotonic() + self._plan.settle_seconds
        while True:
            resting = all(sale.at_rest for sale in self._desk.sales.values())
            late = time.monotonic() > deadline
            if resting or late:
                report = await self._compare(time.monotonic() - began)
                if late or not report.breaches:
                    return report
            await asyncio.sleep(1)

    async def _compare(self, seconds: float) -> Report:
        audit = await self._audit()
        there = await self._company.payments()
        captures: Counter[str] = Counter()
        captured: Counter[str] = Counter()
        refunded: Counter[str] = Counter()
        for payment in there:
            captures[payment["order_id"]] += payment["captures"]
            captured[payment["order_id"]] += payment["captured"]
            refunded[payment["order_id"]] += payment["refunded"]
        ours = await self._our_orders()
        breaches = [*audit["breaches"]]
        for sale in self._desk.sales.values():
            id_ = str(sale.id)
            books = {(sale.captured, sale.refunded), ours.get(id_, (0, 0)), (captured[id_], refunded[id_])}
            if len(books) > 1 or captures[id_] > 1 or not sale.at_rest:
                breaches.append(f"{id_} ({sale.status}, {sale.fate}): captured {captures[id_]} times, books {books}")
        breaches += [f"held at the company: {p['reference']}" for p in there if p["status"] == "authorized"]
        breaches += [f"held here: {held['payment_id']}" for held in audit["open_authorizations"]]
        discrepancies = (await self._audit("/provider"))["discrepancies"]
        breaches += [f"discrepancy: {each}" for each in discrepancies if each["state"] == "open"]
        breaches += [f"not answered yet: {operation['id']}" for operation in audit["operations_pending"]]
        for name, ledger in (("payment_svc", audit["ledger"]), ("company", await self._company.ledger())):
            breaches += [f"{name} in {c}: {accounts}" for c, accounts in ledger.items() if sum(accounts.values())]
        return Report(
            orders=len(self._desk.sales),
            seconds=round(seconds, 1),
            calls=dict(self._answers.most_common()),
            kills=self._service.kills,
            captures=sum(captures.values()),
            captured=sum(captured.values()),
            refunded=sum(refunded.values()),
            most_captures_of_an_order=max(captures.values(), default=0),
            webhooks=audit["webhooks_by_state"],
            breaches=breaches,
        )


@asynccontextmanager
async def a_trial(plan: Plan, folder: Path, amqp_url: str) -> AsyncIterator[Trial]:
    """Everything running and the service's keys known to it; all of it ended afterwards."""
    port, mint = free_port(), TokenMint()
    company = Company(folder, {**plan.faults, "seed": plan.seed})
    environment = {**company.merchant_environment, "PAYMENT_CALL_SECONDS": "1", "PAYMENT_RECONCILE_SECONDS": "5"}
    service = payment_service(folder, amqp_url, environment, port)
    desk = Desk(AmqpTransport(amqp_url, shop_topology(), service="desk"))
    try:
        await company.start(SIMULATOR_WEBHOOK_URL=f"{service.url}/payments/webhooks/remote")
        await desk.start()
        await desk.publish(mint.published, uuid4(), "/auth")
        await service.start()
        yield Trial(plan, desk, service, company, mint)
    finally:
        await desk.stop()
        service.close()
        company.close()
