"""The writer on SQLite: durable by its pragmas, and patient with other processes without holding up the loop."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from chassis import db, sessions
from chassis.db import Store
from chassis.sessions import SqliteSession, is_store_trouble, sqlite_write_engine
from tests.support.toy import create_tables, notes


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await create_tables(url)
    return Store(url)


def other_process(store: Store) -> sqlite3.Connection:
    return sqlite3.connect(str(store.sqlite_path), isolation_level=None, timeout=5)


async def test_what_the_writer_commits_survives_a_power_cut_by_wal_and_full_sync(store: Store) -> None:
    session = await store.open_session()
    async with session.transaction() as connection:
        journal = (await connection.execute(sa.text("PRAGMA journal_mode"))).scalar()
        synchronous = (await connection.execute(sa.text("PRAGMA synchronous"))).scalar()
    await session.close()
    await store.close()
    assert (journal, synchronous) == ("wal", 2)


async def test_what_the_log_holds_is_in_the_file_before_anything_is_written(store: Store, tmp_path: Path) -> None:
    """A process that died may have left it unsynced; checkpointed, it is synced twice over."""
    with closing(other_process(store)) as dead:
        dead.execute("PRAGMA journal_mode=WAL")
        dead.execute("INSERT INTO notes (text) VALUES ('in the log')")
        session = await store.open_session()
        copy = shutil.copy(str(store.sqlite_path), tmp_path / "without-log.db")
        with closing(sqlite3.connect(copy)) as file:
            assert file.execute("SELECT text FROM notes").fetchall() == [("in the log",)]
        await session.close()
    await store.close()


@pytest.mark.parametrize(
    ("kind", "code", "at_fault"),
    [
        (sqlite3.OperationalError, sqlite3.SQLITE_FULL, True),
        (sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.DatabaseError, sqlite3.SQLITE_NOTADB, True),
        (sqlite3.IntegrityError, sqlite3.SQLITE_CONSTRAINT_UNIQUE, False),
        (asyncpg.PostgresError, "53100", True),  # disk full
        (asyncpg.PostgresError, "57P03", True),  # starting up
        (asyncpg.PostgresError, "22003", False),
    ],
)
def test_the_store_is_at_fault_or_the_statement_is(
    kind: type[sqlite3.Error | asyncpg.PostgresError], code: int | str, *, at_fault: bool
) -> None:
    cause = kind()
    setattr(cause, "sqlite_errorcode" if isinstance(code, int) else "sqlstate", code)
    wrap = OperationalError if kind is sqlite3.OperationalError else DBAPIError
    assert is_store_trouble(wrap("SELECT 1", None, cause)) is at_fault


async def test_a_store_that_is_locked_while_it_is_opened_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    store = Store(f"sqlite+aiosqlite:///{path}")
    opening = asyncio.create_task(store.open_session())
    await asyncio.sleep(0)  # the loop goes on meanwhile
    assert not opening.done()
    holder.execute("COMMIT")
    await (await opening).close()
    holder.close()
    await store.close()


async def test_the_write_lock_is_waited_for_while_the_loop_goes_on(store: Store) -> None:
    session, holder = await store.open_session(), other_process(store)
    holder.execute("BEGIN IMMEDIATE")

    async def write() -> None:
        async with session.transaction() as connection:
            await connection.execute(notes.insert(), [{"text": "at last"}])

    writing = asyncio.create_task(write())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.shield(writing)
    holder.execute("COMMIT")
    await writing
    assert holder.execute("SELECT text FROM notes").fetchall() == [("at last",)]
    holder.close()
    await session.close()
    await store.close()


async def test_a_lock_that_is_never_released_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOCK_TRIES", 2)
    session, holder = await store.open_session(), other_process(store)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        async with session.transaction():
            pass
    holder.close()
    await session.close()
    await store.close()


async def test_a_failed_block_leaves_nothing_and_the_session_goes_on(store: Store) -> None:
    session = await store.open_session()

    async def write(text: str, *, fail: bool) -> None:
        async with session.transaction() as connection:
            await connection.execute(notes.insert(), [{"text": text}])
            if fail:
                raise KeyError(text)

    with pytest.raises(KeyError):
        await write("lost", fail=True)
    await write("kept", fail=False)
    rows = await store.reader.all(sa.select(notes.c.text))
    assert [row["text"] for row in rows] == ["kept"]
    await session.close()
    await store.close()


class Refusing:
    """A committer whose driver refuses, which SQLite knows nothing of."""

    async def commit(self) -> None:
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_commit_that_python_refuses_is_an_error_like_sqlites_own(store: Store) -> None:
    engine = sqlite_write_engine(store.url, lambda connection: None)
    session = SqliteSession(engine.connect(), Refusing())
    with pytest.raises(OperationalError):
        async with session.transaction():
            pass
    await session.close()
    await store.close()


@pytest.mark.parametrize("store_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_rows_of_a_process_that_froze_in_a_transaction_are_free_after_a_while(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "SILENT_AFTER_MS", 200)
    await create_tables(store_url)
    stores = Store(store_url), Store(store_url)
    frozen, other = [await store.open_session() for store in stores]
    async with other.transaction() as connection:
        await connection.execute(notes.insert().values(text="there"))
    held = frozen.transaction()
    await (await held.__aenter__()).execute(sa.select(notes).with_for_update())
    async with asyncio.timeout(20), other.transaction() as connection:
        changed = await connection.execute(notes.update().values(text="changed"))
    assert changed.rowcount == 1
    with pytest.raises(DBAPIError) as lost:
        await held.__aexit__(None, None, None)
    assert is_store_trouble(lost.value)
    for session, store in zip((frozen, other), stores, strict=True):
        await session.close()
        await store.close()
