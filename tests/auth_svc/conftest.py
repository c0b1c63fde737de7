"""A running auth_svc on a store of its own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from auth_svc.app import build
from tests.auth_svc.accounts import Accounts, settings
from tests.support.clocks import ManualClock
from tests.support.harness import running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def accounts(store_url: str, clock: ManualClock) -> AsyncIterator[Accounts]:
    async with running("auth_svc", build, settings(store_url), clock=clock) as harness:
        yield Accounts(harness, clock)
