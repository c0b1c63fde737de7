"""The peer: FastStream with SQLAlchemy's async session, as its documentation would have one write it.

It has no outbox: the publish is confirmed before the commit is acknowledged, but a crash between them loses or doubles
the event. `faststream_peer.py URL STORE COUNT PREFETCH POOL`: how many messages it handles at once, and how many
connections to the store they share; `bench.hop.race` tries some.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
import uvloop
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.durability import set_full
from bench.hop.work import EXCHANGE, QUEUE, TYPE_IN, TYPE_OUT, Stopwatch, Task, outgoing


async def run(task: Task, prefetch: int, pool: int) -> None:
    engine = create_async_engine(task.store, pool_size=pool, max_overflow=0)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", lambda connection, _: set_full(connection))
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    # By default it logs two lines for each message, which costs more than its routing.
    broker = RabbitBroker(task.url, default_channel=Channel(prefetch_count=prefetch), logger=None)
    exchange = RabbitExchange(EXCHANGE, type=ExchangeType.TOPIC, durable=True, declare=False)
    left, finished, watch = task.count, asyncio.Event(), Stopwatch()

    @broker.subscriber(RabbitQueue(QUEUE, durable=True, declare=False), ack_policy=AckPolicy.NACK_ON_ERROR)
    async def on_order_cancelled(event: dict[str, Any]) -> None:
        nonlocal left
        now = datetime.now(UTC).isoformat()
        row = {"id": event["id"], "subject": event["subject"], "type": TYPE_IN, "now": now}
        async with sessions.begin() as session:
            claimed = await session.execute(
                sa.text("INSERT INTO inbox VALUES (:id, :type, :now) ON CONFLICT DO NOTHING RETURNING event_id"), row
            )
            fresh = claimed.first() is not None
            if fresh:
                await session.execute(
                    sa.text(
                        "INSERT INTO counters VALUES (:subject, 1, 1)"
                        " ON CONFLICT (id) DO UPDATE SET value = counters.value + 1, version = counters.version + 1"
                    ),
                    row,
                )
                await session.execute(sa.text("INSERT INTO ledger (counter_id, amount) VALUES (:subject, 1)"), row)
        if fresh:
            event_id, body = outgoing(event)
            await broker.publish(
                body, exchange=exchange, routing_key=TYPE_OUT, message_id=event_id, message_type=TYPE_OUT, persist=True
            )
        left -= 1
        if left == 0:
            finished.set()

    watch.start()
    await broker.start()
    await finished.wait()
    watch.report()
    await broker.stop()
    await engine.dispose()


if __name__ == "__main__":
    uvloop.run(run(Task.from_arguments(), int(sys.argv[4]), int(sys.argv[5])))
