"""payment_svc on a store of its own: with only its writer at work, or whole and behind HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.db import Store
from chassis.failpoints import Failpoints
from chassis.ids import Uuid7
from chassis.migrate import migrate
from chassis.runtime import Environment
from chassis.transport.memory import MemoryBroker, MemoryTransport
from payment_svc.app import build
from payment_svc.providers.simulated import SimulatedProvider
from payment_svc.settings import PaymentSettings
from tests.payment_svc.till import Till
from tests.support.clocks import ManualClock
from tests.support.harness import Harness, running

SECRET = "a-secret-for-webhooks"
OLD_SECRET = "an-older-secret-for-webhooks"

OpenTill = Callable[..., AbstractAsyncContextManager[Till]]


async def _no_sleep(_: float) -> None:
    """The slow card need not be slow here."""
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def provider() -> SimulatedProvider:
    return SimulatedProvider(sleep=_no_sleep)


@pytest.fixture
async def migrated(store_url: str) -> str:
    await asyncio.to_thread(migrate, "payment_svc", store_url)
    return store_url


@pytest.fixture
def open_till(migrated: str, clock: ManualClock, provider: SimulatedProvider) -> OpenTill:
    """Opens the service on the same store and provider, as often as wanted: an instance, or a restart."""

    @asynccontextmanager
    async def open_one(failpoints: str = "") -> AsyncIterator[Till]:
        environment = Environment(
            store=Store(migrated),
            transport=MemoryTransport(MemoryBroker(clock=clock), "payment"),
            clock=clock,
            ids=Uuid7(clock),
            failpoints=Failpoints("payment", failpoints),
        )
        app = build(PaymentSettings(database_url=migrated), environment, provider)
        runtime = app.state.runtime
        await runtime.writer.start()
        try:
            yield Till(app, clock, provider)
        finally:
            await runtime.courier.stop()
            await runtime.writer.stop()
            await runtime.store.close()

    return open_one


@pytest.fixture
async def till(open_till: OpenTill) -> AsyncIterator[Till]:
    async with open_till() as till:
        yield till


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Harness]:
    """The whole, running service; its sweeps look often, because tests wait for them."""
    settings = PaymentSettings(
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'payment.db'}",
        webhook_secrets=f"{SECRET},{OLD_SECRET}",
        sweep_seconds=0.02,
        slow_card_seconds=0.05,
        hear_of_order_seconds=0.5,
    )
    async with running("payment_svc", build, settings) as shop:
        yield shop
