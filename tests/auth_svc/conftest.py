"""A running auth_svc on a store of its own."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auth_svc.app import build
from chassis.migrate import migrate
from tests.auth_svc.accounts import Accounts, settings
from tests.support.clocks import ManualClock
from tests.support.harness import running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store at the newest schema, to copy instead of migrating again for every test."""
    path = tmp_path_factory.mktemp("auth") / "empty.db"
    migrate("auth_svc", f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_store: Path, tmp_path: Path) -> str:
    path = shutil.copy(migrated_store, tmp_path / "auth.db")
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def accounts(sqlite_url: str, clock: ManualClock) -> AsyncIterator[Accounts]:
    async with running("auth_svc", build, settings(sqlite_url), clock=clock) as harness:
        yield Accounts(harness, clock)


@pytest.fixture
async def tokens(accounts: Accounts) -> dict[str, str]:
    await accounts.register()
    return await accounts.log_in()
