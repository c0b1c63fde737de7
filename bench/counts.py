"""Instructions per operation, counted by callgrind: `python -m bench.counts`.

Rates say what a machine does while it is watched; instructions say what the code does, the same on a busy machine and a
quiet one. So a change of one or two percent can be seen. Each operation runs in a process of its own, on SQLite and the
broker in memory, one after the other and without sockets: kernel, disk and waiting are not counted.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import uvloop

import catalog_svc.app
import order_svc.app
from catalog_svc.settings import CatalogSettings
from chassis.logs import configure_logging
from contracts.catalog import ProductListed, StockLine, StockReserved
from contracts.money import Money
from order_svc.settings import OrderSettings
from tests.support.harness import Harness, running
from tests.support.waiting import wait_until

WARM_UP: Final = 40
TIMES: Final = 200
PATIENCE: Final = 300.0
"""Seconds: callgrind makes everything some fifty times slower."""
USER: Final = UUID(int=7)
SKU: Final = "BOOK-1"
PRICE: Final = Money(amount=1250, currency="EUR")

Operation = Callable[[int], Awaitable[None]]
"""Does it so many times, and waits for what it leads to."""
Workload = Callable[[Path], AbstractAsyncContextManager[Operation]]


class App:
    """Calls an ASGI application as a server would, without one; a client in the same process would be counted."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        path, _, query = target.partition("?")
        sent: list[Mapping[str, Any]] = []
        given = [(name.lower().encode(), value.encode()) for name, value in {"host": "shop.test", **headers}.items()]
        if body:
            given += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": given,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


def _expect(answer: tuple[int, bytes], status: int) -> bytes:
    if answer[0] != status:
        raise RuntimeError(f"answered {answer[0]}: {answer[1][:300]!r}")
    return answer[1]


@asynccontextmanager
async def _orders(folder: Path) -> AsyncIterator[tuple[Harness, App]]:
    settings = OrderSettings.model_validate({"database_url": f"sqlite+aiosqlite:///{folder / 'order.db'}"})
    async with running("order_svc", order_svc.app.build, settings) as orders:
        await orders.send(ProductListed(sku=SKU, title="A book", category="Novels", price=PRICE, version=1))
        yield orders, App(orders.app)


async def _place(orders: Harness, app: App, times: int) -> list[UUID]:
    """Orders, and their events on the bus."""
    token, published = orders.as_user(USER), len(orders.broker.journal)
    placed: list[UUID] = []
    for _ in range(times):
        headers = {**token, "idempotency-key": str(uuid4())}
        answer = await app.ask("POST", "/orders", headers, b'{"lines":[{"sku":"BOOK-1","quantity":1}]}')
        placed.append(UUID(json.loads(_expect(answer, 201))["id"]))
    await wait_until(lambda: len(orders.broker.journal) == published + times, timeout=PATIENCE)
    return placed


@asynccontextmanager
async def post_orders(folder: Path) -> AsyncIterator[Operation]:
    """`POST /orders` with its commit and its event"""
    async with _orders(folder) as (orders, app):

        async def place(times: int) -> None:
            await _place(orders, app, times)

        yield place


@asynccontextmanager
async def get_order(folder: Path) -> AsyncIterator[Operation]:
    """`GET` an order"""
    async with _orders(folder) as (orders, app):
        [order_id] = await _place(orders, app, 1)
        yield _asking(app, f"/orders/{order_id}", orders.as_user(USER))


@asynccontextmanager
async def event_hop(folder: Path) -> AsyncIterator[Operation]:
    """`stock.reserved` handled by order_svc, and its answer published"""
    async with _orders(folder) as (orders, app):
        waiting = await _place(orders, app, WARM_UP + TIMES)
        line, later = StockLine(sku=SKU, quantity=1), datetime.now(UTC) + timedelta(hours=1)

        async def reserve(times: int) -> None:
            for _ in range(times):  # one by one: how many would share a transaction is never the same
                answered = len(orders.broker.journal) + 2
                await orders.send(StockReserved(order_id=waiting.pop(), lines=[line], expires_at=later), settle=False)
                await wait_until(lambda answered=answered: len(orders.broker.journal) == answered, timeout=PATIENCE)  # type: ignore[misc] # binds the loop's value

        yield reserve


@asynccontextmanager
async def _catalog(folder: Path) -> AsyncIterator[App]:
    settings = CatalogSettings.model_validate({"database_url": f"sqlite+aiosqlite:///{folder / 'catalog.db'}"})
    async with running("catalog_svc", catalog_svc.app.build, settings) as catalog:
        app, operator = App(catalog.app), catalog.as_operator()
        for number in range(40):
            product: dict[str, Any] = {
                "sku": f"BOOK-{number}",
                "title": f"Book {number}",
                "author": "Nobody",
                "category": "Novels",
            }
            product |= {"description": "A book. " * 20, "price": {"amount": 1250, "currency": "EUR"}}
            headers = {**operator, "idempotency-key": str(uuid4())}
            _expect(await app.ask("POST", "/catalog/products", headers, json.dumps(product).encode()), 201)
        yield app


@asynccontextmanager
async def get_product(folder: Path) -> AsyncIterator[Operation]:
    """`GET` a product"""
    async with _catalog(folder) as app:
        yield _asking(app, f"/catalog/products/{SKU}")


@asynccontextmanager
async def get_list(folder: Path) -> AsyncIterator[Operation]:
    """`GET` 20 products of a category"""
    async with _catalog(folder) as app:
        yield _asking(app, "/catalog/products?category=Novels")


def _asking(app: App, target: str, headers: Mapping[str, str] = MappingProxyType({})) -> Operation:
    async def ask(times: int) -> None:
        for _ in range(times):
            _expect(await app.ask("GET", target, headers), 200)

    return ask


WORKLOADS: Final[Mapping[str, Workload]] = MappingProxyType(
    {work.__name__: work for work in (post_orders, get_order, event_hop, get_product, get_list)}
)


async def work(name: str) -> None:
    """In the process that is counted: callgrind is switched on for the operations alone, when all is warm."""
    with tempfile.TemporaryDirectory(prefix="orderflow-counts-") as folder:
        async with WORKLOADS[name](Path(folder)) as operate:
            await operate(WARM_UP)
            _count("on")
            await operate(TIMES)
            _count("off")


def _count(switch: str) -> None:
    command = ["callgrind_control", "-i", switch, str(os.getpid())]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed words and our own pid; found by PATH as valgrind is


def instructions(name: str) -> float:
    """Thousands per operation.

    Raises:
        CalledProcessError: it could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="orderflow-counts-") as folder:
        file = Path(folder) / "out"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={file}"]
        command = [*valgrind, sys.executable, "-m", "bench.counts", "--work", name]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 - our own program
        [total] = re.findall(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)[-1:]
        return int(total) / TIMES / 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.counts", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"some of {', '.join(WORKLOADS)}")
    parser.add_argument("--work", choices=WORKLOADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        configure_logging("bench", level="error")
        uvloop.run(work(options.work))
        return
    if unknown := set(options.only) - WORKLOADS.keys():
        parser.error(f"no such operation: {', '.join(sorted(unknown))}")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed; `apt-get install valgrind` brings it")
    print("| operation | thousands of instructions |\n|---|---|")
    for name in options.only or WORKLOADS:
        print(f"| {WORKLOADS[name].__doc__} | {instructions(name):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
