"""Reads by key: the same answers as any other read, and never a wait on the event loop."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.db import READ_CACHE_KIB, READ_CONNECTIONS, Store
from tests.support.waiting import wait_until

METADATA = sa.MetaData()
THINGS = sa.Table("things", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(10)))
ONE = sa.select(THINGS).where(THINGS.c.id == sa.bindparam("id"))


on_postgresql = pytest.mark.parametrize(
    "store_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
WHO = sa.text("SELECT pg_backend_pid() AS pid, pg_sleep(0.05)")


async def at_once(store: Store, reads: int) -> set[int]:
    """The server's processes that answered so many reads at the same time."""
    return {rows[0]["pid"] for rows in await asyncio.gather(*(store.reader.all(WHO) for _ in range(reads)))}


async def ask_server(url: str, statement: str, *parameters: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetch(statement, *parameters)
    finally:
        await connection.close()


async def end(url: str, processes: set[int]) -> None:
    """End their sessions from the server's side, and wait until they are gone."""
    await ask_server(url, "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(processes))

    async def gone() -> bool:
        return processes.isdisjoint(await sessions(url))

    await wait_until(gone)


async def sessions(url: str) -> set[int]:
    return {row["pid"] for row in await ask_server(url, "SELECT pid FROM pg_stat_activity")}


async def is_asleep(url: str, process: int) -> bool:
    look = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    return bool(await ask_server(url, look, process))


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


@on_postgresql
async def test_a_lost_connection_is_replaced_by_a_new_one(store_url: str) -> None:
    """A server that restarts ends all of them; whoever reads next notices nothing."""
    await make(store_url)
    store = Store(store_url)
    try:
        before = await at_once(store, READ_CONNECTIONS)
        assert len(before) == READ_CONNECTIONS
        await end(store_url, before)
        assert before.isdisjoint(await at_once(store, READ_CONNECTIONS))
    finally:
        await store.close()


@on_postgresql
async def test_readers_keep_their_few_connections(store_url: str) -> None:
    store = Store(store_url)
    try:
        kept = await at_once(store, 3 * READ_CONNECTIONS)
        assert len(kept) == READ_CONNECTIONS
        assert await at_once(store, 3 * READ_CONNECTIONS) == kept
    finally:
        await store.close()


@on_postgresql
async def test_an_abandoned_read_leaves_nothing_for_the_next_one(store_url: str) -> None:
    """Its answer may be still to come on the connection."""
    store = Store(store_url)
    try:
        (kept,) = await at_once(store, 1)
        abandoned = asyncio.create_task(store.reader.all(sa.text("SELECT pg_sleep(60)")))
        await wait_until(lambda: is_asleep(store_url, kept))
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
        assert kept not in await at_once(store, 1)
    finally:
        await store.close()


@on_postgresql
async def test_a_wrong_statement_is_told_once(store_url: str) -> None:
    store = Store(store_url)
    try:
        await at_once(store, 1)
        with pytest.raises(ProgrammingError, match="does not exist"):
            await store.reader.by_key(ONE, {"id": 1})
    finally:
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


async def test_a_connection_that_reads_keeps_little_in_memory(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await make(url)
    store = Store(url)
    try:
        for read in (store.reader.all, store.reader.by_key):
            [size] = await read(sa.text("PRAGMA cache_size"), {})
            assert dict(size) == {"cache_size": -READ_CACHE_KIB}
    finally:
        await store.close()


async def test_trouble_is_told(tmp_path: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(OperationalError, match="no such table"):
        await store.reader.by_key(ONE, {"id": 1})
    await store.close()
