"""Each service alone on a store of its own, its clock standing where the stories begin and its ids foretold."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from catalog_svc.app import build as build_catalog
from catalog_svc.settings import CatalogSettings
from order_svc.app import build as build_order
from order_svc.settings import OrderSettings
from payment_svc.app import build as build_payment
from payment_svc.settings import PaymentSettings
from tests.replay.clients import Bookseller, Payer, Reader
from tests.support.clocks import ManualClock
from tests.support.harness import running
from tests.support.replay import ScriptedIds, load_story

BEGIN = datetime(2026, 3, 14, 10, tzinfo=UTC)
"""When the reader of the stories orders: every deadline in them counts from here."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGIN)


@pytest.fixture
def ids(clock: ManualClock) -> ScriptedIds:
    return ScriptedIds(clock)


@pytest.fixture
async def reader(store_url: str, clock: ManualClock, ids: ScriptedIds) -> AsyncIterator[Reader]:
    """A customer of order_svc."""
    settings = OrderSettings(database_url=store_url)
    async with running("order_svc", build_order, settings, clock=clock, ids=ids) as orders:
        yield Reader(orders, ids)


@pytest.fixture
async def bookseller(store_url: str, clock: ManualClock, ids: ScriptedIds) -> AsyncIterator[Bookseller]:
    """An operator of catalog_svc."""
    settings = CatalogSettings(database_url=store_url)
    async with running("catalog_svc", build_catalog, settings, clock=clock, ids=ids) as catalog:
        yield Bookseller(catalog, ids)


@pytest.fixture
async def payer(store_url: str, clock: ManualClock, ids: ScriptedIds) -> AsyncIterator[Payer]:
    """The same customer, at payment_svc."""
    settings = PaymentSettings(database_url=store_url)
    async with running("payment_svc", build_payment, settings, clock=clock, ids=ids) as payments:
        yield Payer(payments, ids, _reader_of_the_stories())


def _reader_of_the_stories() -> UUID:
    [placed] = load_story("happy_path.jsonl").said_by("order")[:1]
    user_id: UUID = placed.model_dump()["user_id"]
    return user_id
