"""The floor: the hop by hand, aio-pika and a raw driver, no framework. `floor.py URL STORE COUNT BATCH`."""

import asyncio
import json
import sys
from datetime import UTC, datetime

import aio_pika
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from bench.hop.raw import Effect, Out, RawStore, open_raw
from bench.hop.work import EXCHANGE, PREFETCH, QUEUE, TYPE_OUT, Stopwatch, Task, outgoing


async def commit(store: RawStore, batch: list[AbstractIncomingMessage], published: list[str]) -> Out:
    """Everything a batch does, in one transaction; the outbox rows of the batch before are taken out on the way."""
    now = datetime.now(UTC).isoformat()
    events = [json.loads(message.body) for message in batch]
    effects = [Effect(event["id"], event["subject"], now, *outgoing(event)) for event in events]
    return await store.commit(effects, published)


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
    store = await open_raw(task.store)
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
            out = await commit(store, batch, published)
            await publish(exchange, out)
            published = [event_id for event_id, _ in out]
            await batch[-1].ack(multiple=True)
            left -= len(batch)
        await commit(store, [], published)
        watch.report()
    await store.close()


if __name__ == "__main__":
    uvloop.run(run(Task.from_arguments(), int(sys.argv[4])))
