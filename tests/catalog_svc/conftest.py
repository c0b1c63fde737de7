"""The catalog on a store of its own: with only its writer at work, or whole and behind HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from catalog_svc.app import build
from catalog_svc.settings import CatalogSettings
from catalog_svc.tables import metadata
from chassis.db import Store
from chassis.ids import Uuid7
from chassis.runtime import Environment
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.claims import OPERATOR
from tests.catalog_svc.shop import CatalogRuntime
from tests.support.clocks import ManualClock
from tests.support.tokens import TokenMint

OpenStore = Callable[[], AbstractAsyncContextManager[CatalogRuntime]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
def operator(mint: TokenMint) -> dict[str, str]:
    return mint.headers(roles=(OPERATOR,))


@pytest.fixture
async def made_store(store_url: str) -> str:
    """The URL of a store with the catalog's tables."""
    engine = create_async_engine(store_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return store_url


@pytest.fixture
def app(made_store: str, clock: ManualClock, mint: TokenMint) -> FastAPI:
    """The service, not started."""
    app = new_app(made_store, clock)
    app.state.verifier.add_key(mint.verification_key)
    return app


@pytest.fixture
async def runtime(app: FastAPI) -> AsyncIterator[CatalogRuntime]:
    """The service's runtime with only its writer at work: nothing happens unless the test makes it happen."""
    async with writing(app.state.runtime) as runtime:
        yield runtime


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole, running service."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://catalog") as client,
    ):
        yield client


@pytest.fixture
def another_instance(made_store: str, clock: ManualClock) -> OpenStore:
    """Opens a second instance of the service on the same store."""
    return lambda: writing(new_app(made_store, clock).state.runtime)


def new_app(url: str, clock: ManualClock) -> FastAPI:
    """The service on this store, with a broker in memory to itself."""
    broker = MemoryBroker(clock=clock)
    environment = Environment(
        store=Store(url), transport=MemoryTransport(broker, "catalog"), clock=clock, ids=Uuid7(clock)
    )
    app = build(CatalogSettings(database_url=url), environment)
    app.state.broker = broker
    return app


def broker_of(app: FastAPI) -> MemoryBroker:
    broker: MemoryBroker = app.state.broker
    return broker


@asynccontextmanager
async def writing(runtime: CatalogRuntime) -> AsyncIterator[CatalogRuntime]:
    await runtime.writer.start()
    try:
        yield runtime
    finally:
        await runtime.writer.stop()
        await runtime.store.close()
