"""Reads by key: the same answers as any other read, and never a wait on the event loop."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.db import Store

METADATA = sa.MetaData()
THINGS = sa.Table("things", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(10)))
ONE = sa.select(THINGS).where(THINGS.c.id == sa.bindparam("id"))


async def make(url: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await engine.dispose()


async def test_what_was_committed_is_found_by_its_key(store_url: str) -> None:
    await make(store_url)
    store = Store(store_url)
    session = await store.open_session()
    try:
        assert await store.reader.by_key(ONE, {"id": 1}) == []
        async with session.transaction() as connection:
            await connection.execute(THINGS.insert(), [{"id": 1, "name": "one"}])
            assert await store.reader.by_key(ONE, {"id": 1}) == []
        [row] = await store.reader.by_key(ONE, {"id": 1})
        assert dict(row) == {"id": 1, "name": "one"}
    finally:
        await session.close()
        await store.close()


async def test_a_locked_file_is_waited_for_in_a_thread(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await make(url)
    owner = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    owner.execute("BEGIN EXCLUSIVE")
    owner.execute("INSERT INTO things VALUES (1, 'one')")
    store = Store(url)
    try:
        reading = asyncio.create_task(store.reader.by_key(ONE, {"id": 1}))
        await asyncio.sleep(0)
        owner.execute("COMMIT")
        assert len(await reading) == 1
        [patience] = await store.reader.by_key(sa.text("PRAGMA busy_timeout"), {})
        assert dict(patience) == {"timeout": 0}
    finally:
        owner.close()
        await store.close()


async def test_trouble_is_told(tmp_path: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(OperationalError, match="no such table"):
        await store.reader.by_key(ONE, {"id": 1})
    await store.close()
