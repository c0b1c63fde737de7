"""The journal by hand: aio-pika on the stream, and rows in raw sqlite3. `replay_floor.py read|rebuild URL`."""

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.durability import set_full
from bench.hop.work import Stopwatch
from chassis.topology import JOURNAL

BATCH: Final = 500
PREFETCH: Final = 1_000
ACK_EVERY: Final = 100

Batch = Sequence[dict[str, Any]]


async def read(url: str, take: Callable[[Batch], None]) -> int:
    """Everything the journal holds now, decoded, in batches; how much that was."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        end = await _last_offset(await connection.channel())
        await channel.set_qos(PREFETCH)
        incoming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        queue = await channel.get_queue(JOURNAL, ensure=False)
        await queue.consume(incoming.put, arguments={"x-stream-offset": "first"})
        events, batch, offset = 0, list[dict[str, Any]](), -1
        while offset < end:
            message = await incoming.get()
            offset = int(str(message.headers["x-stream-offset"]))
            batch.append(json.loads(message.body))
            events += 1
            if events % ACK_EVERY == 0:
                await message.ack(multiple=True)
            if len(batch) == BATCH or offset >= end:
                take(batch)
                batch = []
    return events


async def _last_offset(channel: aio_pika.abc.AbstractChannel) -> int:
    """Where it ends now: the last chunk is given whole, and then nothing more comes for a moment."""
    await channel.set_qos(PREFETCH)
    incoming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.get_queue(JOURNAL, ensure=False)
    await queue.consume(incoming.put, arguments={"x-stream-offset": "last"})
    message = await incoming.get()
    while True:
        try:
            message = await asyncio.wait_for(incoming.get(), 0.5)
        except TimeoutError:
            return int(str(message.headers["x-stream-offset"]))


class Products:
    """The newest version of each product."""

    def __init__(self, path: Path) -> None:
        self._store = sqlite3.connect(path, isolation_level=None)
        set_full(self._store)
        self._store.execute("CREATE TABLE products (sku TEXT PRIMARY KEY, title TEXT, amount INTEGER, version INTEGER)")
        self._store.execute("CREATE TABLE inbox (event_id TEXT PRIMARY KEY)")

    def take(self, batch: Batch) -> None:
        self._store.execute("BEGIN IMMEDIATE")
        self._store.executemany("INSERT OR IGNORE INTO inbox VALUES (?)", [(event["id"],) for event in batch])
        products = [event["data"] for event in batch]
        self._store.executemany(
            "INSERT INTO products VALUES (?, ?, ?, ?) ON CONFLICT (sku) DO UPDATE SET title = excluded.title,"
            " amount = excluded.amount, version = excluded.version WHERE excluded.version > products.version",
            [(data["sku"], data["title"], data["price"]["amount"], data["version"]) for data in products],
        )
        self._store.execute("COMMIT")

    def count(self) -> int:
        (rows,) = self._store.execute("SELECT count(*) FROM products").fetchone()
        self._store.close()
        return int(rows)


async def main(work: str, url: str) -> None:
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        if work == "read":
            watch.start()
            watch.report(events=await read(url, lambda _: None), products=0)
            return
        products = Products(Path(folder) / "products.db")
        watch.start()
        events = await read(url, products.take)
        watch.report(events=events, products=products.count())


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
