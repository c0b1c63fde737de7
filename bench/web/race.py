"""The races over HTTP: placing orders, and reading the catalogue in three ways, beside floors and the naive stack."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx

from bench.durability import count
from bench.load import KEY, Plan, load, message
from bench.machine import cpu_seconds, rss_mib
from bench.ports import free_ports
from bench.processes import Server, python_server, uvicorn_server
from bench.rounds import Contestant, Row, Sample, interleaved
from bench.servers import Node
from bench.stores import Stores, make_tables
from bench.web.shop import SmallShop, small_shop
from bench.web.work import CATEGORY, ORDERS, PAGE, PRODUCTS, product_rows
from ops.demo.books import demo_books

NAIVE: Final = "FastAPI + SQLAlchemy ORM"
FLOOR: Final = "hand-written ASGI + raw driver"
LIST: Final = f"/catalog/products?{urlencode({'category': CATEGORY, 'in_stock': 'true', 'limit': PAGE})}"

Checked = Callable[[int], Awaitable[None]]


class WrongAnswersError(Exception):
    """A contestant did not do the work it was asked to; nothing is reported then."""


@dataclass
class Asker:
    """One contestant: a server process, and what it is asked. `after` settles and checks what one round left behind."""

    url: str
    pid: int
    messages: Sequence[str]
    status: int
    seconds: float
    after: Checked | None = None

    async def once(self) -> Sample:
        """One round; CPU time is the server's, until everything it accepted is done.

        Raises:
            LoadFailedError, WrongAnswersError: no figure.
        """
        before = cpu_seconds(self.pid)
        result = await load(Plan(self.url, self.messages, self.status, seconds=self.seconds))
        if self.after is not None:
            await self.after(result.in_all)
        each = (cpu_seconds(self.pid) - before) / result.in_all
        return Sample(
            units=result.answered,
            seconds=result.seconds,
            cpu_seconds=each * result.answered,
            latencies_ms=(result.p50_ms, result.p99_ms),
            rss_mib=rss_mib(self.pid),
            client_busy_percent=result.busy_percent,
        )


class OrderRows:
    """Sees that every order that was answered is a row, and has its event in the outbox."""

    def __init__(self, store: str, settle: Callable[[], Awaitable[None]] | None = None) -> None:
        self._store, self._settle, self._rows = store, settle, 0

    async def check(self, answered: int) -> None:
        if self._settle is not None:
            await self._settle()
        self._rows += answered
        found = await count(self._store, "orders"), await count(self._store, "outbox")
        if found != (self._rows, self._rows):
            raise WrongAnswersError(f"{self._rows} orders were answered, orders and outbox have {found} rows")


async def web(node: Node, folder: Path, stores: Stores, parts: set[str], *, quick: bool) -> list[Row]:
    """The rows of the parts `reads` and `orders`."""
    rounds, seconds = (1, 0.3) if quick else (3, 3.0)
    rows: list[Row] = []
    async with small_shop(node, folder / "shop", stores, ("auth", "catalog", "order")) as shop:
        if "reads" in parts:
            await shop.only("catalog")
            rows += await _reads(shop, stores, rounds, seconds)
        if "orders" in parts:
            await shop.only("auth", "order")
            rows += await _orders(shop, stores, rounds, seconds)
    return rows


async def _orders(shop: SmallShop, stores: Stores, rounds: int, seconds: float) -> list[Row]:
    customers = await shop.customers()
    skus = [book.sku for book in demo_books()]
    bodies = [{"lines": [{"sku": sku, "quantity": 1}]} for sku in skus]
    ours = [
        message("POST", "/orders", {**customers[number % len(customers)], "Idempotency-Key": KEY}, body)
        for number, body in enumerate(bodies)
    ]
    theirs = [message("POST", "/orders", {"X-Request": KEY}, body) for body in bodies]

    async with AsyncExitStack() as stack:

        async def peer(app: str, name: str) -> Callable[[], Awaitable[Sample]]:
            store = await stores.new(name)
            await make_tables(store, ORDERS)
            server = await stack.enter_async_context(uvicorn_server(app, store))
            return Asker(server.url, server.pid, theirs, 201, seconds, OrderRows(store).check).once

        rows = OrderRows(shop.stores["order"], shop.published)
        asker = Asker(shop.url("order"), shop.pid("order"), ours, 201, seconds, rows.check)
        contestants = [
            Contestant("hand-written ASGI, batch commit", "floor", await peer("bench.web.floor:app", "floor_orders")),
            Contestant("order_svc", "ours", asker.once, note="with token, key, prices, and the event published"),
            Contestant(NAIVE, "naive", await peer("bench.web.naive:app", "naive_orders"), note="default pool"),
        ]
        return await interleaved("POST /orders", contestants, rounds)


async def _reads(shop: SmallShop, stores: Stores, rounds: int, seconds: float) -> list[Row]:
    async with AsyncExitStack() as stack:
        store = await stores.new("products")
        await make_tables(store, PRODUCTS, "products", product_rows())
        ours = Server(shop.url("catalog"), shop.pid("catalog"))
        floor = await stack.enter_async_context(uvicorn_server("bench.web.floor:app", store))
        naive = await stack.enter_async_context(uvicorn_server("bench.web.naive:app", store))
        constant = await stack.enter_async_context(uvicorn_server("bench.web.constant:app"))
        (port,) = free_ports(1)
        wire = await stack.enter_async_context(python_server(("-m", "bench.web.wire", str(port)), port))
        targets = [f"/catalog/products/{book.sku}" for book in demo_books()]
        plain = [message("GET", target, {}) for target in targets]

        def three(messages: Sequence[Sequence[str]], status: int) -> list[Contestant]:
            asked = zip((floor, ours, naive), messages, strict=True)
            once = [Asker(server.url, server.pid, own, status, seconds).once for server, own in asked]
            named = ((FLOOR, "floor"), ("catalog_svc", "ours"), (NAIVE, "naive"))
            return [Contestant(name, role, each) for (name, role), each in zip(named, once, strict=True)]

        fixed = [
            Contestant("fixed bytes, no HTTP server", "client", Asker(wire.url, wire.pid, plain, 200, seconds).once),
            Contestant("FastAPI, a constant", "floor", Asker(constant.url, constant.pid, plain, 200, seconds).once),
        ]
        listed = [message("GET", LIST, {})]
        known = [await _conditional(server.url, targets) for server in (floor, ours, naive)]
        return [
            *await interleaved("GET a product", [*fixed, *three([plain] * 3, 200)], rounds),
            *await interleaved(f"GET {PAGE} of a category", three([listed] * 3, 200), rounds),
            *await interleaved("GET a product, 304", three(known, 304), rounds),
        ]


async def _conditional(url: str, targets: Sequence[str]) -> list[str]:
    """Requests that name the version there is."""
    async with httpx.AsyncClient(trust_env=False, base_url=url) as http:
        etags = [(await http.get(target)).raise_for_status().headers["etag"] for target in targets]
    return [message("GET", target, {"If-None-Match": etag}) for target, etag in zip(targets, etags, strict=True)]
