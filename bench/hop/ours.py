"""The hop through the chassis: the tests' toy service, with a ledger, on its Runtime, as the shop's own are.

`ours.py URL STORE N`.
"""

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa
import uvloop

from bench.hop.work import Stopwatch, Task
from chassis.clock import SystemClock
from chassis.db import BigId, Store
from chassis.logs import configure_logging
from chassis.observer import Observer
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.topology import shop_topology
from chassis.transport.amqp import AmqpTransport
from chassis.unit_of_work import Transaction, UnitOfWork
from contracts.order import OrderCancelled
from tests.support.toy import TABLES, Counter, Counters, create_tables, metadata

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("counter_id", sa.Uuid, nullable=False),
    sa.Column("amount", sa.Integer, nullable=False),
)


class HopUnitOfWork(UnitOfWork):
    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.counters = Counters(self)

    async def preload(self, inputs: Sequence[object]) -> None:
        await self.counters.preload(event.order_id for event in inputs if isinstance(event, OrderCancelled))


async def on_order_cancelled(event: OrderCancelled, uow: HopUnitOfWork) -> None:
    counter = await uow.counters.find(event.order_id)
    if counter is None:
        counter = Counter(event.order_id)
        uow.counters.add(counter)
    counter.add(1)
    uow.append(ledger, {"counter_id": counter.id, "amount": 1})


class Finish(Observer):
    """Set when this many events have been confirmed by the broker."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self.reached = asyncio.Event()

    def published(self, event_type: str, outcome: str) -> None:
        if outcome == "ack":
            self._wanted -= 1
        if self._wanted == 0:
            self.reached.set()


async def run(task: Task) -> None:
    await create_tables(task.store)
    clock, finish, watch = SystemClock(), Finish(task.count), Stopwatch()
    definition = ServiceDefinition("order", TABLES, HopUnitOfWork, {OrderCancelled: on_order_cancelled})
    environment = Environment(
        store=Store(task.store),  # of SQLite it refuses one without WAL and synchronous=FULL
        transport=AmqpTransport(task.url, shop_topology(), service="order", clock=clock),
        clock=clock,
        observer=finish,
    )
    runtime = Runtime(definition, environment)
    watch.start()
    await runtime.start()
    await finish.reached.wait()
    watch.report()
    await runtime.stop()


if __name__ == "__main__":
    configure_logging("order", level="error", style="json")
    uvloop.run(run(Task.from_arguments()))
