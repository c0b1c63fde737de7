"""A service of one table, to test the chassis with: counters that events and commands add to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.clock import Clock
from chassis.consumer import Subscriptions
from chassis.db import NAMING_CONVENTION, Store
from chassis.ids import Uuid7
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.seedwork import AggregateRoot, DomainError, ErrorKind
from chassis.transport.memory import MemoryBroker, MemoryTransport
from chassis.unit_of_work import Repository, RuntimeTables, Transaction, UnitOfWork, runtime_tables
from contracts.order import OrderCancelled, OrderFulfilled

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
TABLES: RuntimeTables = runtime_tables(metadata)
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("value", sa.Integer, sa.CheckConstraint("value >= 0", name="not_negative"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("text", sa.String(80), nullable=False),
)


class Counter(AggregateRoot):
    """Counts; every addition is a fact (borrowed from the order's, to have something to publish)."""

    def __init__(self, id: UUID, value: int = 0, version: int = 0) -> None:
        super().__init__(version)
        self.id = id
        self.value = value

    def add(self, amount: int) -> None:
        if amount > 100:
            raise DomainError("too-much", ErrorKind.INVALID, "At most 100 at a time.")
        self.value += amount
        self.record(OrderFulfilled(order_id=self.id))


class Counters(Repository[Counter, UUID]):
    table = counters
    key = "id"
    what = "counter"

    def to_row(self, aggregate: Counter) -> dict[str, Any]:
        return {"id": aggregate.id, "value": aggregate.value, "version": aggregate.version}

    def from_row(self, row: RowMapping) -> Counter:
        return Counter(row["id"], row["value"], row["version"])


class ToyUnitOfWork(UnitOfWork):
    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.counters = Counters(self)

    async def preload(self, inputs: Sequence[object]) -> None:
        await self.counters.preload(i.counter_id for i in inputs if isinstance(i, Add))


@dataclass(frozen=True)
class Add:
    counter_id: UUID
    amount: int = 1


async def add(command: Add, uow: ToyUnitOfWork) -> int:
    counter = await uow.counters.find(command.counter_id)
    if counter is None:
        counter = Counter(command.counter_id)
        uow.counters.add(counter)
    counter.add(command.amount)
    return counter.value


async def on_order_cancelled(event: OrderCancelled, uow: ToyUnitOfWork) -> None:
    await add(Add(event.order_id), uow)


def toy_service(name: str = "order", subscriptions: Subscriptions | None = None) -> ServiceDefinition[ToyUnitOfWork]:
    """The toy in the role of one of the shop's services, whose queues it uses."""
    return ServiceDefinition(
        name, TABLES, ToyUnitOfWork, {OrderCancelled: on_order_cancelled} if subscriptions is None else subscriptions
    )


async def create_tables(url: str) -> None:
    """Make the toy's tables in an empty store."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


@asynccontextmanager
async def another_process(
    store_url: str, clock: Clock, broker: MemoryBroker, name: str = "order"
) -> AsyncIterator[Runtime[ToyUnitOfWork]]:
    """One more runtime of the toy on the same store, as another process has one; its relay does not work yet."""
    environment = Environment(
        store=Store(store_url), transport=MemoryTransport(broker, name), clock=clock, ids=Uuid7(clock)
    )
    runtime = Runtime(toy_service(name), environment)
    await runtime.writer.start()
    await runtime.hints.start()
    await runtime.transport.start()
    try:
        yield runtime
    finally:
        await runtime.relay.stop()
        await runtime.transport.stop()
        await runtime.hints.stop()
        await runtime.writer.stop()
        await runtime.store.close()
