"""`make bench`: ours beside the floors and peers in one interleaved run, as tables and a dated JSON document."""

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import machine
from bench.hop.race import drain, race
from bench.order_to_cash import run as order_to_cash
from bench.processes import end_in_order_when_told
from bench.replay import replay
from bench.report import report
from bench.results import QUICK_RESULTS, RESULTS, save
from bench.rounds import Row
from bench.servers import private_node
from bench.stores import KINDS, Stores, stores
from bench.web.race import web

RACES: Final = ("hop", "backlog", "orders", "reads", "replay")
WHOLE_SHOP: Final = ("cash", "idle", "memory")
PARTS: Final = (*RACES, *WHOLE_SHOP)


async def races(parts: set[str], folder: Path, fresh: Stores, *, quick: bool, peers: bool) -> list[Row]:
    """The rows that need a broker of the benchmark's own."""
    rows: list[Row] = []
    with private_node(folder / "broker") as node:
        if "hop" in parts:
            rows += await race(node, fresh, 1 if quick else 5, 0.05 if quick else 1.0, peers=peers)
        if "backlog" in parts:
            rows += await drain(node, fresh, 1 if quick else 3, 300 if quick else 20_000)
        if parts & {"orders", "reads"}:
            rows += await web(node, folder / "web", fresh, parts, quick=quick)
        if "replay" in parts:
            rows += await replay(node, 1_000 if quick else 30_000, 1 if quick else 3)
    return rows


async def measure(arguments: argparse.Namespace, parts: set[str], folder: Path) -> dict[str, Any]:
    """Everything that is asked for, as a document."""
    described = {"machine": machine.described(folder), "versions": machine.versions(), "commit": machine.commit()}
    begun, before = time.perf_counter(), machine.Moment.now()
    rows: list[Row] = []
    cash = None
    with stores(arguments.store, folder / "stores") as fresh:
        if parts & set(RACES):
            rows = await races(parts, folder, fresh, quick=arguments.quick, peers=not arguments.without_peers)
        if whole := parts & set(WHOLE_SHOP):
            cash = await order_to_cash(whole, 1 if arguments.quick else 20, folder / "cash", fresh)
    after = machine.Moment.now()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": arguments.quick,
        "parts": sorted(parts),
        "left_out": ["FastStream"] if arguments.without_peers else [],
        "store": fresh.described,
        **described,
        "seconds": round(time.perf_counter() - begun),
        "load_before": before.load,
        "load_after": after.load,
        "stolen_percent": before.stolen_percent_until(after),
        "rows": [row.document() for row in rows],
        "cash": None if cash is None else cash.document(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does it run?")
    parser.add_argument("--store", choices=KINDS, default="sqlite", help="where rows are kept")
    parser.add_argument("--without-peers", action="store_true", help="leave out what only .venv-bench has: FastStream")
    parser.add_argument(
        "--results", type=Path, help="where the dated JSON goes (default: bench/results; quick: .run/bench)"
    )
    arguments = parser.parse_args()
    parts = set(arguments.only.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if "hop" in parts and not arguments.without_peers and machine.versions()["faststream"] is None:
        parser.error("FastStream is not installed here: run `make bench`, or leave it out with --without-peers")
    end_in_order_when_told()
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as name:
        document = asyncio.run(measure(arguments, parts, Path(name)))
    print(f"\n{report(document)}\n")
    if arguments.without_peers:
        print("left out, as asked: FastStream")
    print(f"took {document['seconds']} s")
    folder = arguments.results or (QUICK_RESULTS if arguments.quick else RESULTS)
    print(f"wrote {save(document, folder)}")
    if folder == RESULTS:
        print("docs/performance.md is made of it by: .venv/bin/python -m docs.tools")
    raise SystemExit(1 if document["cash"] and document["cash"]["audit"] else 0)


if __name__ == "__main__":
    main()
