"""`make bench`: ours beside the floors and peers in one interleaved run, as a table and a dated JSON document."""

import argparse
import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import order_to_cash
from bench.hop.race import drain, race
from bench.machine import Moment
from bench.report import table
from bench.rounds import Row
from bench.servers import private_node
from bench.stores import KINDS, Stores, stores
from bench.web.race import web

RESULTS = Path(__file__).parent / "results"
PARTS = ("hop", "backlog", "orders", "reads", "cash")


async def races(parts: set[str], folder: Path, stores: Stores, *, quick: bool, peers: bool) -> list[Row]:
    """The rows that need a broker of the benchmark's own."""
    rows: list[Row] = []
    with private_node(folder / "broker") as node:
        if "hop" in parts:
            rows += await race(node, stores, 1 if quick else 5, 0.1 if quick else 1.0, peers=peers)
        if "backlog" in parts:
            rows += await drain(node, stores, 1_000 if quick else 20_000)
        if parts & {"orders", "reads"}:
            rows += await web(node, folder / "web", stores, parts, quick=quick)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does it run?")
    parser.add_argument("--store", choices=KINDS, default="sqlite", help="where rows are kept")
    parser.add_argument("--without-peers", action="store_true", help="leave out what only .venv-bench has: FastStream")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the dated JSON goes")
    arguments = parser.parse_args()
    parts = set(arguments.only.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    before = Moment.now()
    cash: order_to_cash.Report | None = None
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as name:
        folder = Path(name)
        with stores(arguments.store, folder / "stores") as fresh:
            described = fresh.described
            if parts & {"hop", "backlog", "orders", "reads"}:
                work = races(parts, folder, fresh, quick=arguments.quick, peers=not arguments.without_peers)
                rows = asyncio.run(work)
        if "cash" in parts:
            (folder / "cash").mkdir()
            cash = asyncio.run(order_to_cash.run(32, 4 if arguments.quick else 20, folder / "cash"))
    after = Moment.now()
    document: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": arguments.quick,
        "store": described,
        "cores": os.cpu_count(),
        "load_before": before.load,
        "load_after": after.load,
        "stolen_percent": before.stolen_percent_until(after),
        "rows": [row.document() for row in rows],
        "cash": None if cash is None else order_to_cash.document(cash),
    }
    print(table(document))
    if cash is not None:
        order_to_cash.show(cash)
    arguments.results.mkdir(exist_ok=True)
    target = arguments.results / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-bench.json"
    target.write_text(json.dumps(document, indent=2) + "\n")
    print(f"wrote {target.name}")
    raise SystemExit(1 if cash is not None and cash.audit else 0)


if __name__ == "__main__":
    main()
