"""The journal as `./shop journal` and `python -m order_svc rebuild` read it. `replay_ours.py read|rebuild URL`."""

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
import uvloop

from bench.hop.work import Stopwatch
from chassis.main import real_environment
from chassis.rebuild.journal import BrokerJournal
from chassis.rebuild.reading import Reader
from chassis.rebuild.scratch import scratch
from ops.journal import Selection, search_journal
from order_svc.app import build
from order_svc.settings import OrderSettings
from order_svc.store import products


async def read(url: str) -> None:
    """Every event once, decoded and compared with a selection that takes all."""
    watch, events = Stopwatch(), 0
    watch.start()
    async for _ in search_journal(url, Selection()):
        events += 1
    watch.report(events=events, products=0)


async def rebuild(url: str, folder: Path) -> None:
    """order_svc's projections in a scratch store, by its own handlers; the comparison with a live store left out."""
    settings = OrderSettings(database_url=f"sqlite+aiosqlite:///{folder / 'order.db'}", amqp_url=url)
    environment = real_environment(settings)
    definition = build(settings, environment).state.runtime.definition
    watch = Stopwatch()
    watch.start()
    async with scratch(definition) as beside:
        reading = await Reader(definition, BrokerJournal(url), beside).read_on()
        rows = await beside.reader.all(sa.select(products.c.sku))
        watch.report(events=reading.handled, products=len(rows))
    await environment.store.close()


async def main(work: str, url: str) -> None:
    if work == "read":
        await read(url)
        return
    with tempfile.TemporaryDirectory() as folder:
        await rebuild(url, Path(folder))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
