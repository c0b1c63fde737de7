"""FastStream at its best: the hop with several prefetches and pools, in turn.

`.venv-bench/bin/python -m bench.hop.tuning`. What comes out on top belongs into `FASTSTREAM_SETTINGS`.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.hop.race import Hopper
from bench.hop.work import schema
from bench.rounds import Contestant, Row, interleaved
from bench.servers import Node, private_node
from bench.stores import KINDS, Stores, make_tables, stores

SETTINGS: Final = ((1, 1), (10, 1), (10, 2), (50, 2), (200, 2), (10, 3), (50, 3), (10, 5), (50, 5), (50, 15))
"""Prefetch and pool."""


async def tune(node: Node, fresh: Stores, events: int, rounds: int) -> Sequence[Row]:
    """All settings, interleaved; the fastest first."""
    contestants: list[Contestant] = []
    for prefetch, pool in SETTINGS:
        store = await fresh.new(f"tuning_{prefetch}_{pool}")
        await make_tables(store, schema(fresh.kind))
        extra = (str(prefetch), str(pool))
        hopper = Hopper("bench.hop.faststream_peer", events, node.new_vhost(), store, extra)
        contestants.append(Contestant(f"prefetch {prefetch}, pool {pool}", "peer", hopper.once))
    return sorted(await interleaved("event hop", contestants, rounds), key=lambda row: row.rate, reverse=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hop.tuning", description=__doc__)
    parser.add_argument("--store", choices=KINDS, default="sqlite")
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as name:
        folder = Path(name)
        with stores(arguments.store, folder / "stores") as fresh, private_node(folder / "broker") as node:
            rows = asyncio.run(tune(node, fresh, arguments.events, arguments.rounds))
    for row in rows:
        spread = f"{row.rate_min:,.0f}-{row.rate_max:,.0f}"
        print(f"{row.contestant}: {row.rate:,.0f}/s ({spread}), {row.cpu_ms_per_unit} ms CPU")


if __name__ == "__main__":
    main()
