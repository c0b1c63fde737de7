"""order_svc on a real store, with the rest of the shop played by the test."""

from collections.abc import AsyncIterator

import pytest

from order_svc.app import build
from order_svc.settings import OrderSettings
from tests.support.harness import Harness, running


@pytest.fixture
async def orders(store_url: str) -> AsyncIterator[Harness]:
    settings = OrderSettings(database_url=store_url, sweep_seconds=0.05)
    async with running("order_svc", build, settings) as harness:
        yield harness
