"""The toy service on a real store, with or without its relay and consumer running."""

from collections.abc import AsyncIterator

import pytest

from chassis.db import Store
from chassis.ids import Uuid7
from chassis.runtime import Environment, Runtime
from chassis.transport.memory import MemoryBroker, MemoryTransport
from chassis.writer import Writer
from tests.support.clocks import ManualClock
from tests.support.toy import ToyUnitOfWork, create_tables, toy_service


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> MemoryBroker:
    return MemoryBroker(clock=clock)


@pytest.fixture
async def runtime(store_url: str, clock: ManualClock, broker: MemoryBroker) -> AsyncIterator[Runtime[ToyUnitOfWork]]:
    """A runtime whose writer works; relay and consumer are stepped by the test."""
    await create_tables(store_url)
    environment = Environment(
        store=Store(store_url), transport=MemoryTransport(broker, "order"), clock=clock, ids=Uuid7(clock)
    )
    runtime = Runtime(toy_service(), environment)
    await runtime.writer.start()
    await runtime.transport.start()
    yield runtime
    await runtime.relay.stop()
    await runtime.transport.stop()
    await runtime.writer.stop()
    await runtime.store.close()


@pytest.fixture
def writer(runtime: Runtime[ToyUnitOfWork]) -> Writer[ToyUnitOfWork]:
    return runtime.writer
