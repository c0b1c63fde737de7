"""A whole shop: how many orders go from placed to paid per second, how long one alone takes, and what memory it needs.

A shop of its own (private broker, four processes, fresh stores) on free ports, in a temporary folder. Customers place,
wait, pay and wait, each one order after another; the audit must be clean afterwards, or there is no figure. The load
generator runs on the same machine and takes its share of the processor.
"""

import asyncio
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx

from bench.durability import count
from bench.http import Answer, Connection
from bench.machine import cpu_seconds, rss_mib
from bench.ports import free_ports
from bench.stores import Stores
from ops.audit import audit, running_source
from ops.config import SERVICES, Ports, Secrets, ShopConfig
from ops.console import ShopConsole
from ops.launcher import open_shop
from ops.shop_api import ShopApi, running_shop

PARTS: Final = ("POST /orders", "until payable", "POST /payments", "until paid")
PRODUCTS = 50
STOCK = 100_000
SETTLE_SECONDS = 60
SAMPLE_SECONDS = 0.25
PAY_TRIES = 10


@dataclass(frozen=True)
class Latencies:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        ranked = sorted(seconds)
        return cls(*(round(ranked[math.ceil(len(ranked) * part) - 1] * 1000, 1) for part in (0.5, 0.95, 0.99)))


@dataclass(frozen=True)
class Result:
    """One phase: `customers` at once for `seconds`."""

    phase: str
    customers: int
    seconds: float
    orders: int
    orders_per_second: float
    place_to_payable: Latencies
    pay_to_paid: Latencies
    whole: Latencies
    parts: dict[str, Latencies]
    """Of each of `PARTS`, as the customer sees it."""
    cpu_ms_per_order: dict[str, float]
    """CPU milliseconds of each service's process."""


@dataclass(frozen=True)
class Memory:
    """MiB resident in a service's process: before its first customer, and the most that was seen under load."""

    service: str
    idle: float
    loaded: float


class Buyer:
    """One customer buying again and again, over kept connections of their own."""

    def __init__(self, urls: dict[str, str], headers: dict[str, str], skus: Sequence[str]) -> None:
        self._orders = Connection(urls["order"])
        self._payments = Connection(urls["payment"])
        self._headers = headers
        self._skus = skus

    async def buy(self, number: int) -> tuple[float, ...]:
        """One order; the seconds of each of `PARTS`."""
        times = [time.perf_counter()]
        body = {"lines": [{"sku": self._skus[number % len(self._skus)], "quantity": 1}]}
        placed = await self._orders.request("POST", "/orders", self._once(), body)
        order_id = _expect(placed, 201).json()["id"]
        times.append(time.perf_counter())
        await self._until(order_id, "awaiting_payment")
        times.append(time.perf_counter())
        await self._pay(order_id)
        times.append(time.perf_counter())
        await self._until(order_id, "paid")
        times.append(time.perf_counter())
        return tuple(later - earlier for earlier, later in pairwise(times))

    async def close(self) -> None:
        await self._orders.close()
        await self._payments.close()

    async def _pay(self, order_id: str) -> None:
        """Pay. On a busy machine payment_svc may answer that it has not heard of the order yet."""
        headers, body = self._once(), {"order_id": order_id, "payment_method": "pm_card_visa"}
        for _ in range(PAY_TRIES):
            answer = await self._payments.request("POST", "/payments", headers, body)
            if answer.status != 404:
                break
        _expect(answer, 201)

    async def _until(self, order_id: str, status: str) -> None:
        target = f"/orders/{order_id}?wait=20&until={status}"
        while True:
            answer = _expect(await self._orders.request("GET", target, self._headers), 200)
            if answer.json()["status"] == status:
                return

    def _once(self) -> dict[str, str]:
        return {**self._headers, "Idempotency-Key": str(uuid4())}


def _expect(answer: Answer, status: int) -> Answer:
    if answer.status != status:
        raise RuntimeError(f"answered {answer.status}: {answer.body[:300]!r}")
    return answer


async def measure(phase: str, buyers: Sequence[Buyer], seconds: float, pids: Mapping[str, int]) -> Result:
    """Let the buyers buy for this long. `pids`: the processes whose use of the processor is told."""
    bought: list[tuple[float, ...]] = []
    before = {service: cpu_seconds(pid) for service, pid in pids.items()}
    begun = time.perf_counter()

    async def shop(buyer: Buyer, offset: int) -> None:
        number = offset
        while time.perf_counter() - begun < seconds:
            bought.append(await buyer.buy(number))
            number += 1

    await asyncio.gather(*(shop(buyer, index * 7) for index, buyer in enumerate(buyers)))
    took = time.perf_counter() - begun
    used = {service: cpu_seconds(pid) - before[service] for service, pid in pids.items()}
    return Result(
        phase=phase,
        customers=len(buyers),
        seconds=round(took, 1),
        orders=len(bought),
        orders_per_second=round(len(bought) / took, 1),
        place_to_payable=Latencies.of([sum(each[:2]) for each in bought]),
        pay_to_paid=Latencies.of([sum(each[2:]) for each in bought]),
        whole=Latencies.of([sum(each) for each in bought]),
        parts={part: Latencies.of([each[at] for each in bought]) for at, part in enumerate(PARTS)},
        cpu_ms_per_order={service: round(1000 * cpu / len(bought), 2) for service, cpu in used.items()},
    )


class MemoryWatch:
    """Looks at the services' memory again and again."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._idle = {service: rss_mib(pids[service]) for service in SERVICES}
        self._most = dict(self._idle)

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for service in SERVICES:
                self._most[service] = max(self._most[service], rss_mib(self._pids[service]))

    def result(self) -> list[Memory]:
        return [Memory(service, self._idle[service], self._most[service]) for service in SERVICES]


async def prepare(
    doors: Sequence[dict[str, str]], operator_login: dict[str, str], http: httpx.AsyncClient, customers: int
) -> list[Buyer]:
    """Products with stock for ever, and customers who are logged in.

    `doors` are the services' URLs; where there are several, customers come to each of them in turn.
    """
    urls = doors[0]
    operator = await _log_in(http, urls["auth"], **operator_login)
    skus = [f"BENCH-{number}" for number in range(PRODUCTS)]
    for sku in skus:
        product = {
            "sku": sku,
            "title": sku,
            "author": "Nobody",
            "category": "Bench",
            "description": "To be sold.",
            "price": {"amount": 1000, "currency": "EUR"},
        }
        stock = {"delta": STOCK, "reason": "bench"}
        for path, body in (("/catalog/products", product), (f"/catalog/products/{sku}/stock", stock)):
            (await http.post(f"{urls['catalog']}{path}", json=body, headers=operator)).raise_for_status()
    return [
        Buyer(doors[number % len(doors)], await _new_customer(http, urls["auth"]), skus) for number in range(customers)
    ]


async def _new_customer(http: httpx.AsyncClient, url: str) -> dict[str, str]:
    login = {"email": f"{uuid4().hex}@bench.example", "password": secrets.token_urlsafe(15)}
    (await http.post(f"{url}/auth/register", json={**login, "name": "Bench"})).raise_for_status()
    return await _log_in(http, url, **login)


async def _log_in(http: httpx.AsyncClient, url: str, email: str, password: str) -> dict[str, str]:
    answer = await http.post(f"{url}/auth/login", json={"email": email, "password": password, "cookie": False})
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def audited(shop: ShopApi) -> list[str]:
    """What does not add up once the shop has come to rest."""
    report = await audit(running_source(shop), wait=SETTLE_SECONDS)
    return [*(f"still moving: {found.text}" for found in report.moving), *(found.text for found in report.breaches)]


@dataclass(frozen=True)
class Report:
    """All phases of one run; `audit` says what does not add up."""

    audit: list[str]
    phases: list[Result]
    memory: list[Memory]

    def document(self) -> dict[str, Any]:
        return asdict(self)


async def run(parts: set[str], seconds: float, folder: Path, stores: Stores, customers: int = 32) -> Report:
    """The phases of `cash`, `idle` and `memory`, as asked, on one fresh shop."""
    ports = Ports(*free_ports(len(Ports.__slots__)))
    config = ShopConfig(folder, ports, Secrets.load(folder / "secrets.json"), None, embedded=False, demo=False)
    databases = {service: await stores.new(service) for service in SERVICES}
    with environment({f"{service.upper()}_DATABASE_URL": url for service, url in databases.items()}):
        async with (
            open_shop(config, ShopConsole.on_stderr()),
            running_shop(config) as shop,
            httpx.AsyncClient(timeout=60, trust_env=False) as http,
        ):
            watch = MemoryWatch(shop.state["pids"])
            looking = asyncio.create_task(watch.keep_looking())
            try:
                doors, operator = [shop.state["services"]], shop.state["operator"]
                buyers = await prepare(doors, operator, http, customers if parts - {"idle"} else 1)
                phases = await _phases(parts, buyers, seconds, shop.state["pids"])
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
            bought = sum(phase.orders for phase in phases)
            if await count(databases["order"], "orders") < bought:
                raise RuntimeError(f"{bought} orders were bought, and are not all in the store that is measured")
            return Report(await audited(shop), phases, watch.result() if "memory" in parts else [])


async def _phases(parts: set[str], buyers: Sequence[Buyer], seconds: float, pids: Mapping[str, int]) -> list[Result]:
    phases: list[Result] = []
    await measure("warm-up", buyers[:4], min(2, seconds), pids)
    if "idle" in parts:
        phases.append(await measure("one order at a time", buyers[:1], seconds / 2, pids))
    if parts & {"cash", "memory"}:
        phases.append(await measure("sustained", buyers, seconds, pids))
    if "cash" in parts:
        phases.append(await measure("a quarter of them", buyers[: max(1, len(buyers) // 4)], seconds / 2, pids))
    for buyer in buyers:
        await buyer.close()
    return phases


@contextmanager
def environment(added: Mapping[str, str]) -> Iterator[None]:
    """As `make run` is told about stores: by the environment, of this process and those it starts."""
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
