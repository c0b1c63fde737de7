"""Does a full store answer as fast as a nearly empty one? `python -m bench.grow` fills both and asks them in turn.

Full: a year of orders with their timelines and payments; of outbox, inbox, keys and the provider's calls what the
prunes leave (7, 30, 2 and 30 days); and 100,000 products with their words. Nearly empty: a thousand of each. The
services are processes without a broker, on SQLite with `synchronous=FULL` or on a durable PostgreSQL server.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.grow import catalog, orders, payments, seed
from bench.grow.asking import BUYER, Cost, Side, ask, once, serving
from bench.grow.sweeps import BUILD, sweep_costs
from bench.machine import Moment, rss_mib
from bench.processes import end_in_order_when_told
from bench.stores import KINDS, Stores, stores
from chassis.migrate import migrate
from chassis.token_feed import TokenTables
from contracts.claims import OPERATOR
from order_svc.store import TOKENS as ORDER_TOKENS
from payment_svc.tables import TOKENS as PAYMENT_TOKENS
from tests.support.tokens import TokenMint

FEW: Final = 1_000
"""Orders and products of a nearly empty store: so many that every page that is asked for is full."""
HISTORY: Final = 25
"""Orders of the customer who asks for his own: more than a page."""
PAID_PER_SECOND: Final = 2_000
"""More than a machine of today pays: so many orders are prepared to be paid."""

_SIZES: Final = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "postgresql": "SELECT pg_database_size(current_database())",
}


@dataclass(frozen=True)
class Filled:
    """The stores of a side, their URLs by service, and what can be asked of them."""

    stores: Mapping[str, str]
    orders: list[seed.Known]
    payments: list[seed.Known]
    to_pay: list[UUID]


async def fill(source: Stores, mint: TokenMint, count: int, products: int, to_pay: int) -> Filled:
    """New stores for all three services, with their tables, `count` orders and `products` products."""
    urls = {service: await source.new(service) for service in ("order", "catalog", "payment")}
    for service, url in urls.items():
        await asyncio.to_thread(migrate, f"{service}_svc", url)
    now = datetime.now(UTC)
    async with filling(urls["order"]) as connection:
        await _trust(connection, ORDER_TOKENS, mint)
        await seed.plant(connection, count, now)
        await orders.fill(connection, products, now)
        known_orders = await seed.known(connection, count)
    async with filling(urls["payment"]) as connection:
        await _trust(connection, PAYMENT_TOKENS, mint)
        await seed.plant(connection, count, now)
        open_ones = await payments.fill(connection, to_pay, now)
        known_payments = await seed.known(connection, count)
    async with filling(urls["catalog"]) as connection:
        await catalog.fill(connection, products)
    return Filled(urls, known_orders, known_payments, open_ones)


@asynccontextmanager
async def filling(url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction to fill a store in. Afterwards PostgreSQL does what its autovacuum would do while we measure."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                await connection.execute(sa.text("PRAGMA cache_size=-500000"))  # KiB: indexes are filled in memory
            yield connection
        if engine.dialect.name == "postgresql":
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(sa.text("VACUUM ANALYZE"))
                await connection.execute(sa.text("CHECKPOINT"))
    finally:
        await engine.dispose()


async def measure(
    source: Stores, sizes: Mapping[str, tuple[int, int]], rounds: int, seconds: float, sweeps: int
) -> None:
    """Fill stores of these sizes (orders, products), ask both sides in turn and print medians as a table."""
    mint = TokenMint()
    customer, operator = mint.headers(BUYER), mint.headers(roles=(OPERATOR,))
    to_pay = int((rounds * seconds + 1) * PAID_PER_SECOND)
    sides: dict[str, Side] = {}
    swept: dict[str, dict[str, float]] = {}
    async with AsyncExitStack() as stack:
        for name, (count, products) in sizes.items():
            begun = time.perf_counter()
            filled = await fill(source, mint, count, products, to_pay)
            took = time.perf_counter() - begun
            stored = {service: f"{await _bytes(url) >> 20} MiB" for service, url in filled.stores.items()}
            print(f"{name}: {count} orders, {products} products, {stored}, filled in {took:.0f} s", flush=True)
            swept[name] = {
                f"{service}_svc's `{sweep}`": cost
                for service in BUILD
                for sweep, cost in (await sweep_costs(service, filled.stores[service], source.server, sweeps)).items()
            }
            servers = await stack.enter_async_context(serving(filled.stores))
            asked = [
                *orders.questions(customer, operator, filled.orders),
                *payments.questions(customer, operator, filled.payments, iter(filled.to_pay)),
                *catalog.questions(),
            ]
            await once(servers["order"].url, [asked[0].request(number) for number in range(HISTORY)])
            sides[name] = Side(servers, asked, source.server)
        await _compare_requests(sides, rounds, seconds)
        for name, side in sides.items():
            print(name, {service: f"{rss_mib(server.pid)} MiB" for service, server in side.servers.items()})
    print("\n| sweep, nothing due | empty, CPU ms | full, CPU ms |\n|---|---|---|")
    for sweep, cost in swept["empty"].items():
        print(f"| {sweep} | {cost:.2f} | {swept['full'][sweep]:.2f} |")


async def _compare_requests(sides: Mapping[str, Side], rounds: int, seconds: float) -> None:
    print("\n| request | empty, /s | full, /s | full ÷ empty | empty, CPU ms | full, CPU ms | full ÷ empty |")
    print("|---|---|---|---|---|---|---|")
    for number, asked in enumerate(sides["empty"].asked):
        found: dict[str, list[Cost]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                found[name].append(await ask(side, side.asked[number], seconds))
        empty, full = (_median(found[name]) for name in ("empty", "full"))
        rates = f"{empty.rate:.0f} | {full.rate:.0f} | {full.rate / empty.rate:.2f}"
        cpu = f"{empty.cpu_ms:.2f} | {full.cpu_ms:.2f} | {full.cpu_ms / empty.cpu_ms:.2f}"
        print(f"| {asked.name} | {rates} | {cpu} |", flush=True)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.rate for cost in costs), statistics.median(cost.cpu_ms for cost in costs))


async def _trust(connection: AsyncConnection, tables: TokenTables, mint: TokenMint) -> None:
    """Have the service know the key our tokens are signed with."""
    key = mint.published
    row = {name: getattr(key, name) for name in ("kid", "public_key", "not_before", "expires_at")}
    await connection.execute(sa.insert(tables.keys), [row])


async def _bytes(url: str) -> int:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return int((await connection.execute(sa.text(_SIZES[engine.dialect.name]))).scalar_one())
    finally:
        await engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.grow", description=__doc__)
    parser.add_argument("--store", choices=KINDS, default="sqlite")
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of each question")
    parser.add_argument("--sweeps", type=int, default=200, help="runs of each sweep")
    arguments = parser.parse_args()
    end_in_order_when_told()
    before = Moment.now()
    sizes = {
        "empty": (min(FEW, arguments.orders), min(FEW, arguments.products)),
        "full": (arguments.orders, arguments.products),
    }
    with (
        tempfile.TemporaryDirectory(prefix="orderflow-grow-") as folder,
        stores(arguments.store, Path(folder)) as source,
    ):
        print(source.described)
        uvloop.run(measure(source, sizes, arguments.rounds, arguments.seconds, arguments.sweeps))
    after = Moment.now()
    print(f"load {before.load[0]:.1f} to {after.load[0]:.1f}, {before.stolen_percent_until(after)} % stolen")


if __name__ == "__main__":
    main()
