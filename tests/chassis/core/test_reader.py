"""Reads by key: on the event loop where that is quicker, and never waiting there."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from chassis.db import Store
from tests.support.toy import create_tables, notes

BY_TEXT = sa.select(notes.c.text).where(notes.c.text == sa.bindparam("text"))


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """A file without a log beside it, where a writer can keep readers out."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await create_tables(url)
    store = Store(url)
    with closing(sqlite3.connect(str(store.sqlite_path))) as file:
        file.execute("PRAGMA journal_mode=DELETE")
        file.execute("INSERT INTO notes (text) VALUES ('here')")
        file.commit()
    return store


async def test_a_read_by_key_that_meets_a_lock_waits_in_a_thread(store: Store) -> None:
    with closing(sqlite3.connect(str(store.sqlite_path), isolation_level=None, check_same_thread=False)) as other:
        [waits] = await store.reader.by_key(sa.text("PRAGMA busy_timeout"), {})
        assert waits["timeout"] == 0, "the loop waits for nobody"
        other.execute("BEGIN EXCLUSIVE")
        reading = asyncio.create_task(store.reader.by_key(BY_TEXT, {"text": "here"}))
        await asyncio.sleep(0)  # it begins, meets the lock, and leaves the loop to us
        assert not reading.done()
        other.execute("COMMIT")
        assert [row["text"] for row in await reading] == ["here"]
    await store.close()


async def test_a_read_by_key_says_what_is_wrong(store: Store) -> None:
    with pytest.raises(OperationalError, match="no such table"):
        await store.reader.by_key(sa.text("SELECT 1 FROM nowhere WHERE 1 = :one"), {"one": 1})
    await store.close()
