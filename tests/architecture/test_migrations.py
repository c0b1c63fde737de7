"""Each service's migrations make exactly the tables its code uses, and take them away again."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

import auth_svc.store
import catalog_svc.tables
import order_svc.store
import payment_svc.tables
from chassis.migrate import alembic_config, migrate
from tests.support.waiting import wait_until

T = TypeVar("T")

METADATA = {
    "auth_svc": auth_svc.store.metadata,
    "catalog_svc": catalog_svc.tables.metadata,
    "order_svc": order_svc.store.metadata,
    "payment_svc": payment_svc.tables.metadata,
}


@pytest.mark.parametrize("package", METADATA)
async def test_the_migrated_store_equals_the_metadata(package: str, store_url: str) -> None:
    metadata = METADATA[package]
    await asyncio.to_thread(migrate, package, store_url)
    assert await inspected(store_url, partial(differences, metadata)) == []
    assert await inspected(store_url, partial(checks, metadata)) == {
        table.name: {str(c.name) for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        for table in metadata.sorted_tables
    }


@pytest.mark.parametrize("package", METADATA)
async def test_the_migration_can_be_undone(package: str, store_url: str) -> None:
    await asyncio.to_thread(migrate, package, store_url)
    await asyncio.to_thread(command.downgrade, alembic_config(package, store_url), "base")
    assert await inspected(store_url, lambda connection: sa.inspect(connection).get_table_names()) == [
        "alembic_version"
    ]


async def inspected(url: str, look: Callable[[sa.Connection], T]) -> T:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        result = await connection.run_sync(look)
    await engine.dispose()
    return result


def differences(metadata: sa.MetaData, connection: sa.Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def checks(metadata: sa.MetaData, connection: sa.Connection) -> dict[str, set[str]]:
    """The names of the CHECK constraints by table; alembic does not compare those."""
    inspector = sa.inspect(connection)
    return {
        table.name: {str(check["name"]) for check in inspector.get_check_constraints(table.name)}
        for table in metadata.sorted_tables
    }


async def test_processes_that_migrate_at_the_same_time_do_not_disturb_each_other(store_url: str) -> None:
    environment = {**os.environ, "PAYMENT_DATABASE_URL": store_url}
    command_line = [sys.executable, "-m", "payment_svc", "migrate"]
    processes = [
        await asyncio.create_subprocess_exec(*command_line, env=environment, stderr=subprocess.PIPE) for _ in range(3)
    ]
    told = [(await process.communicate())[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told


async def test_who_migrates_a_sqlite_file_waits_for_who_already_does(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    with (tmp_path / "store.db.migrate.lock").open("ab") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        waiting = asyncio.create_task(asyncio.to_thread(migrate, "payment_svc", f"sqlite+aiosqlite:///{file}"))
        await wait_until(lambda: _waits_for_a_lock(file.with_name("store.db.migrate.lock")))
        assert not file.exists()
    await waiting
    assert file.exists()


def _waits_for_a_lock(file: Path) -> bool:
    """Whether the kernel has somebody wait for this file (`->` in its list of locks)."""
    inode = f":{file.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())
