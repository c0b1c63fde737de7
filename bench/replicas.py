"""Orders per second by the number of processes of each service, and what one order costs. `python -m bench.replicas`.

A shop of its own for each row: private broker, private PostgreSQL (or SQLite files), real processes, all on one machine
together with the customers. So a second process of each service adds work, not processors, and the rate is that of the
machine. What an order costs (processor time, bytes, messages) does not depend on that, and is what may be carried
over to other machines. The audit must be clean, or there is no figure.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa
import uvloop
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from bench.machine import Moment, cpu_seconds, ended_children_seconds, loop_ms
from bench.order_to_cash import SETTLE_SECONDS, Result, measure, prepare
from bench.results import RESULTS
from ops.broker.ports import listener_of
from ops.config import SERVICES
from tests.chaos.shop import SupervisedShop, supervised_shop
from tests.e2e.client import Shop
from tests.e2e.processes import OPERATOR, service_of
from tests.fixtures.broker import RabbitNode, private_node
from tests.support.postgres import on_server, private_cluster

PAY_WITHIN: Final = 900.0
IDLE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Cost:
    """Of one order, on the average: CPU milliseconds by who used them, bytes kept in the stores, events, deliveries.

    What the shop uses while nobody buys, `idle_ms` of CPU per second, is not in it.
    """

    cpu_ms: Mapping[str, float]
    idle_ms: Mapping[str, float]
    stored_bytes: int
    events: float
    deliveries: float


@dataclass(frozen=True)
class Row:
    """One shop under load."""

    store: str
    replicas: int
    load: tuple[float, float, float]
    stolen_percent: float
    sustained: Result
    cost: Cost


@dataclass(frozen=True)
class Meter:
    """What was used up to one moment, in seconds of a clock that only runs on."""

    at: float
    cpu: Mapping[str, float]
    stored: int
    events: int
    deliveries: int

    def per_order_until(self, later: "Meter", orders: int, idle: Mapping[str, float]) -> Cost:
        """`idle` is CPU seconds per second."""
        waited = later.at - self.at
        used = {who: later.cpu[who] - before - waited * idle[who] for who, before in self.cpu.items()}
        return Cost(
            {who: round(1000 * seconds / orders, 2) for who, seconds in used.items()},
            {who: round(1000 * share, 1) for who, share in idle.items()},
            round((later.stored - self.stored) / orders),
            round((later.events - self.events) / orders, 1),
            round((later.deliveries - self.deliveries) / orders, 1),
        )


class Scales:
    """Reads what a shop has used."""

    def __init__(self, shop: Shop, node: RabbitNode, server: str) -> None:
        self._shop = shop
        self._node = node
        self._server = server

    async def read(self) -> Meter:
        """Everything, when the shop has come to rest.

        Raises:
            RuntimeError: something does not add up.
        """
        report = await self._shop.audited(wait=SETTLE_SECONDS)
        if report.breaches or report.moving:
            raise RuntimeError(f"no figure without a clean audit: {report.breaches} {report.moving}")
        headers = await self._shop.operator()
        figures = [
            (await self._shop.call(service, "GET", f"/{prefix}/audit", headers=headers)).json()
            for service, prefix in PREFIXES.items()
        ]
        return Meter(
            time.monotonic(),
            self._cpu(),
            await self._stored(),
            sum(sum(figure["sent"].values()) for figure in figures),
            sum(sum(figure["received"].values()) for figure in figures),
        )

    async def idle(self) -> dict[str, float]:
        """CPU seconds per second, by who uses them, while nobody buys."""
        begun, before = time.monotonic(), self._cpu()
        await asyncio.sleep(IDLE_SECONDS)
        seconds = time.monotonic() - begun
        return {who: (used - before[who]) / seconds for who, used in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        used = dict.fromkeys(SERVICES, 0.0)
        processes = self._shop.processes
        for process in processes.ports:
            used[service_of(process)] += cpu_seconds(processes.pid(process))
        pid = self._node.broker.pid
        used["broker"] = cpu_seconds(pid) if pid else 0.0
        if self._server:
            used["postgresql"] = server_cpu_seconds(self._server)
        return used

    async def _stored(self) -> int:
        """Bytes in the stores; pages that are still in a SQLite file's log count as in the file."""
        look = _PG_SIZE if self._server else _SQLITE_SIZE
        total = 0
        for url in self._shop.processes.stores.values():
            engine = create_async_engine(url)
            async with engine.connect() as connection:
                total += int((await connection.execute(look)).scalar_one())
            await engine.dispose()
        return total


_PG_SIZE: Final = sa.text("SELECT pg_database_size(current_database())")
_SQLITE_SIZE: Final = sa.text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
PREFIXES: Final = {"auth": "auth", "catalog": "catalog", "order": "orders", "payment": "payments"}


def server_processes(url: str) -> list[int]:
    """The pids of the PostgreSQL server that listens there: its first process and one per connection and duty."""
    found = re.search(r"pid (\d+)", listener_of(make_url(f"{url}/postgres").port or 0))
    if found is None:
        raise RuntimeError("the PostgreSQL server cannot be found")
    parent = int(found[1])
    children: list[int] = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(file.read_text().rpartition(")")[2].split()[1]) == parent:
                children.append(int(file.parent.name))
    return [parent, *children]


def server_cpu_seconds(url: str) -> float:
    """CPU seconds all processes of that server have used, those included that ended: they come and go."""
    parent, *children = server_processes(url)
    used = cpu_seconds(parent)
    for child in children:
        with suppress(OSError):
            used += cpu_seconds(child)
    return used + ended_children_seconds(parent)


async def run(shop: SupervisedShop, node: RabbitNode, server: str, replicas: int, options: argparse.Namespace) -> Row:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        scales = Scales(Shop(shop, http), node, server)
        doors = [
            {service: shop.url(shop.replicas(service)[number]) for service in SERVICES} for number in range(replicas)
        ]
        email, password = OPERATOR
        buyers = await prepare(doors, {"email": email, "password": password}, http, options.customers)
        await measure("warm-up", buyers, options.seconds / 4, {})
        await scales.read()
        idle = await scales.idle()
        before, moment = await scales.read(), Moment.now()
        sustained = await measure("sustained", buyers, options.seconds, {})
        stolen = moment.stolen_percent_until(Moment.now())
        cost = before.per_order_until(await scales.read(), sustained.orders, idle)
        for buyer in buyers:
            await buyer.close()
    return Row("PostgreSQL" if server else "SQLite", replicas, os.getloadavg(), stolen, sustained, cost)


@contextmanager
def opened(folder: Path, node: RabbitNode, replicas: int, *, postgresql: bool) -> Iterator[tuple[SupervisedShop, str]]:
    with private_cluster(durable=True) if postgresql else nullcontext("") as server:
        if server:
            asyncio.run(on_server(server, [f"CREATE DATABASE chaos_{service}" for service in SERVICES]))
        with supervised_shop(node, folder, pay_within=PAY_WITHIN, stores=server, replicas=replicas) as shop:
            yield shop, server


def show(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| store | processes of each | orders | orders/s | p50 / p99 ms | CPU ms per order | of it broker, PostgreSQL"
        " | CPU ms per idle second | bytes | events | deliveries | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cost, sustained, whole = row.cost, row.sustained, row.sustained.whole
        cells = [
            row.store,
            row.replicas,
            sustained.orders,
            sustained.orders_per_second,
            f"{whole.p50:g} / {whole.p99:g}",
            f"{sum(cost.cpu_ms.values()):.1f}",
            f"{cost.cpu_ms['broker']:.1f}, {cost.cpu_ms.get('postgresql', 0):.1f}",
            f"{sum(cost.idle_ms.values()):.0f}",
            f"{cost.stored_bytes:,}",
            cost.events,
            cost.deliveries,
            f"{row.load[0]:.1f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # also when told to stop: end the shops and the broker
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=16, help="how many buy at once")
    parser.add_argument("--seconds", type=float, default=20, help="of the measured phase")
    parser.add_argument(
        "--replicas", type=int, nargs="*", default=[1, 2], help="processes of each service, on PostgreSQL"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the dated JSON goes")
    options = parser.parse_args()
    shops = [(False, 1), *((True, number) for number in options.replicas)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as name, private_node(Path(name) / "broker") as node:
        for postgresql, replicas in shops:
            folder = Path(name) / f"shop-{postgresql}-{replicas}"
            folder.mkdir()
            with opened(folder, node, replicas, postgresql=postgresql) as (shop, server):
                rows.append(uvloop.run(run(shop, node, server, replicas, options)))
            print(show(rows[-1:]).splitlines()[-1], flush=True)
    document: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "loop_ms": loop_ms(),
        "rows": [asdict(row) for row in rows],
    }
    print(show(rows))
    options.results.mkdir(exist_ok=True)
    target = options.results / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-replicas.json"
    target.write_text(json.dumps(document, indent=2) + "\n")
    print(f"wrote {target.name}")


if __name__ == "__main__":
    main()
