"""The floor: the hop by hand, aio-pika and raw sqlite3, no framework. `floor.py URL STORE COUNT BATCH`."""

import asyncio
import json
import sqlite3
import sys
from datetime import UTC, datetime

import aio_pika
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from bench.durability import set_full
from bench.hop.work import EXCHANGE, PREFETCH, QUEUE, SCHEMA, TYPE_IN, TYPE_OUT, Stopwatch, Task, outgoing

Out = list[tuple[str, bytes]]


def open_store(task: Task) -> sqlite3.Connection:
    connection = sqlite3.connect(task.store, isolation_level=None)
    set_full(connection)
    connection.executescript(SCHEMA)
    return connection


def commit(store: sqlite3.Connection, batch: list[AbstractIncomingMessage], published: list[str]) -> Out:
    """Everything a batch does, in one transaction; the outbox rows of the batch before are taken out on the way."""
    out: Out = []
    now = datetime.now(UTC).isoformat()
    store.execute("BEGIN IMMEDIATE")
    store.executemany("DELETE FROM outbox WHERE event_id = ?", [(event_id,) for event_id in published])
    for message in batch:
        event = json.loads(message.body)
        fresh = store.execute("INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)", (event["id"], TYPE_IN, now)).rowcount
        if not fresh:
            continue
        store.execute(
            "INSERT INTO counters VALUES (?, 1, 1) ON CONFLICT DO UPDATE SET value = value + 1, version = version + 1",
            (event["subject"],),
        )
        store.execute("INSERT INTO ledger (counter_id, amount) VALUES (?, 1)", (event["subject"],))
        event_id, body = outgoing(event)
        store.execute("INSERT INTO outbox VALUES (?, ?)", (event_id, body.decode()))
        out.append((event_id, body))
    store.execute("COMMIT")
    return out


async def publish(exchange: AbstractExchange, out: Out) -> None:
    """All at once; returns when the broker has confirmed each."""
    await asyncio.gather(
        *(
            exchange.publish(
                aio_pika.Message(
                    body, message_id=event_id, type=TYPE_OUT, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                ),
                TYPE_OUT,
            )
            for event_id, body in out
        )
    )


async def run(task: Task, size: int) -> None:
    store = open_store(task)
    incoming: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    watch = Stopwatch()
    watch.start()  # connecting is in everybody's time
    connection = await aio_pika.connect(task.url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.set_qos(max(size * 2, PREFETCH) if size > 1 else 1)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.consume(incoming.put)
        left, published = task.count, list[str]()
        while left:
            batch = [await incoming.get()]
            while len(batch) < size and not incoming.empty():
                batch.append(incoming.get_nowait())
            out = commit(store, batch, published)
            await publish(exchange, out)
            published = [event_id for event_id, _ in out]
            await batch[-1].ack(multiple=True)
            left -= len(batch)
        commit(store, [], published)
        watch.report()
    store.close()


if __name__ == "__main__":
    uvloop.run(run(Task.from_arguments(), int(sys.argv[4])))
