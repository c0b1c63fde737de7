"""How many orders go from placed to paid per second, and how long one order takes. `make bench ONLY=cash`.

A shop of its own (private broker, four processes, SQLite with synchronous=FULL) on free ports, in a temporary folder.
Customers place, wait, pay and wait, each one order after another; the audit must be clean afterwards, or there is no
figure. The load generator runs on the same machine and takes its share of the processor.
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import uvloop

from bench.http import Answer, Connection
from ops.audit import audit, running_source
from ops.broker import free_port
from ops.config import Ports, Secrets, ShopConfig
from ops.console import ShopConsole
from ops.launcher import open_shop
from ops.shop_api import ShopApi, running_shop

RESULTS = Path(__file__).parent / "results"
PRODUCTS = 50
STOCK = 100_000
SETTLE_SECONDS = 60


@dataclass(frozen=True)
class Latencies:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [seconds[0]] * 99
        return cls(*(round(cuts[at] * 1000, 1) for at in (49, 94, 98)))


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


class Buyer:
    """One customer buying again and again, over kept connections of their own."""

    def __init__(self, urls: dict[str, str], headers: dict[str, str], skus: Sequence[str]) -> None:
        self._orders = Connection(urls["order"])
        self._payments = Connection(urls["payment"])
        self._headers = headers
        self._skus = skus

    async def buy(self, number: int) -> tuple[float, float]:
        """One order; seconds from placing to payable, and from paying to paid."""
        begun = time.perf_counter()
        body = {"lines": [{"sku": self._skus[number % len(self._skus)], "quantity": 1}]}
        placed = await self._orders.request("POST", "/orders", self._once(), body)
        order_id = _expect(placed, 201).json()["id"]
        await self._until(order_id, "awaiting_payment")
        payable = time.perf_counter()
        payment = {"order_id": order_id, "payment_method": "pm_card_visa"}
        _expect(await self._payments.request("POST", "/payments", self._once(), payment), 201)
        await self._until(order_id, "paid")
        return payable - begun, time.perf_counter() - payable

    async def close(self) -> None:
        await self._orders.close()
        await self._payments.close()

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


async def measure(phase: str, buyers: Sequence[Buyer], seconds: float) -> Result:
    """Let the buyers buy for this long."""
    waits: list[tuple[float, float]] = []
    begun = time.perf_counter()

    async def shop(buyer: Buyer, offset: int) -> None:
        number = offset
        while time.perf_counter() - begun < seconds:
            waits.append(await buyer.buy(number))
            number += 1

    await asyncio.gather(*(shop(buyer, index * 7) for index, buyer in enumerate(buyers)))
    took = time.perf_counter() - begun
    return Result(
        phase=phase,
        customers=len(buyers),
        seconds=round(took, 1),
        orders=len(waits),
        orders_per_second=round(len(waits) / took, 1),
        place_to_payable=Latencies.of([first for first, _ in waits]),
        pay_to_paid=Latencies.of([second for _, second in waits]),
        whole=Latencies.of([first + second for first, second in waits]),
    )


async def prepare(shop: ShopApi, http: httpx.AsyncClient, customers: int) -> list[Buyer]:
    """Products with stock for ever, and customers who are logged in."""
    urls: dict[str, str] = shop.state["services"]
    operator = await _log_in(http, urls["auth"], **shop.state["operator"])
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
    return [Buyer(urls, await _new_customer(http, urls["auth"]), skus) for _ in range(customers)]


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
    """All phases of one run, with what they ran on."""

    at: str
    cores: int | None
    python: str
    load_before: tuple[float, float, float]
    fsync_ms: float
    loop_ms: float
    store: str
    audit: list[str]
    phases: list[Result]


def median_fsync_ms(folder: Path) -> float:
    """What the disk asks for making 4 KiB durable: an order pays it some fifteen times, one after the other."""
    times: list[float] = []
    with (folder / "fsync-probe").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1000, 2)


def loop_ms() -> float:
    """How fast Python runs here and now: the best of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        sum(range(1_000_000))
        times.append(time.perf_counter() - begun)
    return round(min(times) * 1000, 1)


async def run(customers: int, seconds: float, folder: Path) -> Report:
    """All phases on one fresh shop."""
    ports = Ports(**{name: free_port() for name in Ports.__slots__})
    config = ShopConfig(folder, ports, Secrets.load(folder / "secrets.json"), None, embedded=False, demo=False)
    load_before = os.getloadavg()
    fsync_ms = median_fsync_ms(folder)
    async with (
        open_shop(config, ShopConsole()),
        running_shop(config) as shop,
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        buyers = await prepare(shop, http, customers)
        await measure("warm-up", buyers[:4], 2)
        phases = [
            await measure("one order at a time", buyers[:1], seconds / 2),
            await measure("sustained", buyers, seconds),
            await measure("half of it", buyers[: max(1, customers // 4)], seconds / 2),
        ]
        for buyer in buyers:
            await buyer.close()
        breaches = await audited(shop)
    return Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=os.cpu_count(),
        python=platform.python_version(),
        load_before=load_before,
        fsync_ms=fsync_ms,
        loop_ms=loop_ms(),
        store="SQLite, WAL, synchronous=FULL",
        audit=breaches,
        phases=phases,
    )


def document(report: Report) -> dict[str, Any]:
    """The report as JSON has it."""
    return asdict(report)


def show(report: Report) -> None:
    load = " ".join(f"{figure:.1f}" for figure in report.load_before)
    print(f"\n{report.at}  {report.cores} cores, load before {load}, Python {report.python}, {report.store}")
    print(f"this machine, now: one fdatasync {report.fsync_ms} ms, a loop of a million additions {report.loop_ms} ms")
    print(
        f"{'phase':<22}{'customers':>10}{'orders':>8}{'orders/s':>10}   place→payable p50/p95   whole p50/p95/p99 (ms)"
    )
    for phase in report.phases:
        payable, whole = phase.place_to_payable, phase.whole
        print(
            f"{phase.phase:<22}{phase.customers:>10}{phase.orders:>8}{phase.orders_per_second:>10}"
            f"   {payable.p50:>8} / {payable.p95:<10} {whole.p50} / {whole.p95} / {whole.p99}"
        )
    print("audit:", report.audit or "clean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=32, help="how many buy at once (default 32)")
    parser.add_argument("--seconds", type=float, default=20, help="how long the sustained phase takes (default 20)")
    parser.add_argument("--save", action="store_true", help="write bench/results/<date>.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as folder:
        report = uvloop.run(run(arguments.customers, arguments.seconds, Path(folder)))
    show(report)
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        target = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-order-to-cash.json"
        target.write_text(json.dumps(document(report), indent=2) + "\n")
    raise SystemExit(1 if report.audit else 0)


if __name__ == "__main__":
    main()
