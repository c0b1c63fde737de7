"""Does a full store answer as fast as an empty one? `python -m bench.grow` fills one and asks both in turn.

Full: a year of orders with their timelines, and of the outbox, inbox and keys what the prunes leave (7, 30 and 2 days),
beside 100,000 products with their words, on SQLite with `synchronous=FULL`. Empty: no order, 1,000
products. Only order_svc and catalog_svc are asked, without a broker; an order's way to its payment, payment_svc and
PostgreSQL are not measured here.
"""

import argparse
import asyncio
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvloop

from bench.http import Connection
from bench.machine import Moment, cpu_seconds, rss_mib
from catalog_svc.search import search_text, sort_key, words
from chassis.migrate import migrate
from contracts.auth import SigningKeyPublished
from ops.broker import free_port
from tests.support.tokens import TokenMint

CONNECTIONS = 16
BOUGHT = 50
FEW_PRODUCTS = 1_000
"""So many that every page that is asked for is full."""

YEAR = timedelta(days=365)
BUYER = UUID(int=7)

Ask = Callable[[int], tuple[str, str, dict[str, str], dict[str, Any] | None]]

_RANDOM = "'7' || substr(hex(randomblob(2)), 2) || '8' || substr(hex(randomblob(8)), 2)"
_ID = f"printf('%012x', :start + n * :step) || {_RANDOM}"
_AT = "strftime('%Y-%m-%d %H:%M:%f000', (:start + n * :step) / 1000.0, 'unixepoch')"
_ORDERS = f"""
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
    INSERT INTO orders (id, user_id, status, lines, total_amount, currency, captured_amount, refunded_amount,
        payment_id, placed_at, version, entries)
    SELECT lower({_ID}), printf('%032x', 1000 + n % 20000), CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'fulfilled' END,
        '[{{"sku": "BK-000001", "title": "One", "quantity": 1, "unit_price": 1000}}]', 1000, 'EUR',
        CASE n % 10 WHEN 0 THEN 0 ELSE 1000 END, 0, lower(hex(randomblob(16))), {_AT}, 4, 5
    FROM numbers"""  # noqa: S608 - our own constants
_TIMELINE = """
    INSERT INTO order_timeline (order_id, seq, at, service, event, status, text)
    SELECT orders.id, seq.value, placed_at, 'order', 'order.placed', status, 'What happened to the order'
    FROM orders, json_each('[1, 2, 3, 4, 5]') AS seq"""
_OUTBOX = """
    INSERT INTO outbox (event_id, type, aggregate_id, aggregate_version, correlation_id, body, created_at, available_at,
        attempts, published_at)
    SELECT lower(hex(randomblob(16))), 'order.placed.v1', orders.id, seq.value, orders.id, hex(zeroblob(300)),
        placed_at, placed_at, 1, placed_at
    FROM orders, json_each('[1, 2, 3, 4]') AS seq WHERE placed_at > :since"""
_INBOX = """
    INSERT INTO inbox (event_id, type, handled_at)
    SELECT lower(hex(randomblob(16))), 'stock.reserved.v1', placed_at
    FROM orders, json_each('[1, 2, 3, 4]') WHERE placed_at > :since"""
_KEYS = """
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, headers, created_at)
    SELECT user_id, 'POST /orders', id, hex(zeroblob(32)), 201, hex(zeroblob(300)), '{}', placed_at
    FROM orders WHERE placed_at > :since"""


@dataclass(frozen=True)
class Side:
    """The two services on one pair of stores."""

    name: str
    urls: Mapping[str, str]
    pids: Mapping[str, int]


def fill_orders(path: Path, count: int, products: int, key: SigningKeyPublished) -> None:
    """A year's orders with all that belongs to them; `count` 0: none."""
    now = datetime.now(UTC)
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("BEGIN")
        rows = [(f"BK-{n:06}", f"Title {n}", 1000, "EUR", True, 1) for n in range(products)]
        store.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", rows)
        store.execute(
            "INSERT INTO token_keys VALUES (?, ?, ?, ?)",
            (key.kid, key.public_key, *(f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in (key.not_before, key.expires_at))),
        )
        if count:
            step = int(YEAR.total_seconds() * 1000) // count
            store.execute(_ORDERS, {"count": count, "start": int((now - YEAR).timestamp() * 1000), "step": step})
            store.execute(_TIMELINE)
            for statement, days in ((_OUTBOX, 7), (_INBOX, 30), (_KEYS, 2)):
                store.execute(statement, {"since": f"{now - timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}"})
        store.execute("COMMIT")


def fill_catalog(path: Path, products: int) -> None:
    """Listed products with stock, and the words they are found by."""
    rng = random.Random(7)  # noqa: S311 - titles, no secrets
    syllables = ("ba", "co", "du", "fe", "gi", "ha", "ju", "ka", "lo", "mu")
    vocabulary = [a + b + c for a in syllables for b in syllables for c in ("", "n", "r")]
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("BEGIN")
        for n in range(products):
            sku, title = f"BK-{n:06}", " ".join(rng.choices(vocabulary, k=3)).title()
            found, at = search_text(title, "Nobody", sku), f"2026-01-{1 + n % 28:02} 00:00:00.000000"
            text = "A description. " * 10
            row = (sku, title, "Nobody", f"Category {n % 20}", text, rng.randint(100, 9_999), "EUR", "listed", at, 1)
            insert = "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            store.execute(insert, (*row, sort_key(title), found))
            store.executemany("INSERT INTO product_words VALUES (?, ?)", [(word, sku) for word in words(found)])
        store.execute(
            "INSERT INTO stock (sku, on_sale, on_hand, reserved, sold, received, version)"
            " SELECT sku, 1, 50, 0, 0, 50, 1 FROM products"
        )
        store.execute("COMMIT")


@contextmanager
def serving(name: str, folder: Path) -> Iterator[Side]:
    """Both services on the stores in a folder, each a process of its own; no broker is there."""
    urls: dict[str, str] = {}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for service in ("order", "catalog"):
            port = free_port()
            environment = {
                **os.environ,
                f"{service.upper()}_PORT": str(port),
                f"{service.upper()}_DATABASE_URL": _url(folder, service),
                "AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/",
                "LOG_LEVEL": "error",
            }
            command = [sys.executable, "-m", f"{service}_svc", "serve"]
            processes[service] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own services
            urls[service] = f"http://127.0.0.1:{port}"
            _await_answer(f"{urls[service]}/healthz")
        yield Side(name, urls, {service: process.pid for service, process in processes.items()})
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(20)


def _await_answer(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def _url(folder: Path, service: str) -> str:
    return f"sqlite+aiosqlite:///{folder / service}.db"


async def rate(side: Side, service: str, ask: Ask, seconds: float) -> tuple[float, float]:
    """Answers per second, and CPU milliseconds of the service for each."""
    answered, end = 0, time.perf_counter() + seconds
    before, begun = cpu_seconds(side.pids[service]), time.perf_counter()

    async def one(first: int) -> None:
        nonlocal answered
        number = first * 1_000
        async with Connection(side.urls[service]) as connection:
            while time.perf_counter() < end:
                method, target, headers, body = ask(number)
                answer = await connection.request(method, target, headers, body)
                if answer.status >= 400:
                    raise RuntimeError(f"{target} answered {answer.status}: {answer.body[:200]!r}")
                number += 1
                answered += 1

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    took = time.perf_counter() - begun
    return answered / took, (cpu_seconds(side.pids[service]) - before) / answered * 1_000


def questions(headers: dict[str, str], order_id: str) -> dict[str, tuple[str, Ask]]:
    """By name: the service and what it is asked."""

    def bought(number: int) -> str:
        return f"BK-{number % BOUGHT:06}"

    def place(number: int) -> tuple[str, str, dict[str, str], dict[str, Any] | None]:
        body = {"lines": [{"sku": bought(number), "quantity": 1}]}
        return "POST", "/orders", {**headers, "Idempotency-Key": str(uuid4())}, body

    return {
        "POST /orders": ("order", place),
        "order": ("order", lambda _: ("GET", f"/orders/{order_id}", headers, None)),
        "order history": ("order", lambda _: ("GET", "/orders", headers, None)),
        "product": ("catalog", lambda n: ("GET", f"/catalog/products/{bought(n)}", {}, None)),
        "list": ("catalog", lambda n: ("GET", f"/catalog/products?category=Category%20{n % 20}", {}, None)),
        "filtered list": (
            "catalog",
            lambda n: ("GET", f"/catalog/products?category=Category%20{n % 20}&min_price=3000", {}, None),
        ),
        "search, one found": ("catalog", lambda n: ("GET", f"/catalog/products?q={bought(n)}", {}, None)),
    }


async def measure(sides: list[Side], mint: TokenMint, rounds: int, seconds: float) -> None:
    """Ask both sides in turn and print medians."""
    headers = mint.headers(BUYER)
    asked: dict[str, dict[str, tuple[str, Ask]]] = {}
    for side in sides:
        body = {"lines": [{"sku": "BK-000001", "quantity": 1}]}
        async with Connection(side.urls["order"]) as connection:
            for _ in range(25):
                once = {**headers, "Idempotency-Key": str(uuid4())}
                answer = await connection.request("POST", "/orders", once, body)
        asked[side.name] = questions(headers, answer.json()["id"])
    print(f"{'':20}{'empty /s':>10}{'full /s':>10}{'ratio':>8}{'empty ms':>10}{'full ms':>10}{'ratio':>8}   (ms: CPU)")
    for name in asked["empty"]:
        found: dict[str, list[tuple[float, float]]] = {"empty": [], "full": []}
        for _ in range(rounds):
            for side in sides:
                service, ask = asked[side.name][name]
                found[side.name].append(await rate(side, service, ask, seconds))
        (empty, empty_ms), (full, full_ms) = (
            tuple(statistics.median(column) for column in zip(*found[which], strict=True))
            for which in ("empty", "full")
        )
        rates = f"{empty:10.0f}{full:10.0f}{full / empty:8.2f}"
        print(f"{name:20}{rates}{empty_ms:10.2f}{full_ms:10.2f}{full_ms / empty_ms:8.2f}", flush=True)
    for side in sides:
        print(side.name, {service: f"{rss_mib(pid)} MiB" for service, pid in side.pids.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of each question")
    arguments = parser.parse_args()
    mint, before = TokenMint(), Moment.now()
    with tempfile.TemporaryDirectory(prefix="orderflow-grow-") as name, ExitStack() as stack:
        sides = []
        for side, orders, products in (("empty", 0, FEW_PRODUCTS), ("full", arguments.orders, arguments.products)):
            folder, begun = Path(name) / side, time.perf_counter()
            for service in ("order", "catalog"):
                migrate(f"{service}_svc", _url(folder, service))
            fill_orders(folder / "order.db", orders, products, mint.published)
            fill_catalog(folder / "catalog.db", products)
            sizes = {path.stem: f"{path.stat().st_size >> 20} MiB" for path in folder.glob("*.db")}
            print(
                f"{side}: {orders} orders, {products} products, {sizes}, {time.perf_counter() - begun:.0f} s",
                flush=True,
            )
            sides.append(stack.enter_context(serving(side, folder)))
        uvloop.run(measure(sides, mint, arguments.rounds, arguments.seconds))
    after = Moment.now()
    print(f"load {before.load} to {after.load}, {before.stolen_percent_until(after)} % stolen")


if __name__ == "__main__":
    main()
