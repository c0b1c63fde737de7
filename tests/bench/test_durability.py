"""Stores that may forget are refused before anything is timed."""

import sqlite3
from pathlib import Path

import pytest

from bench.durability import NotDurableError, check_postgres, count, set_full
from bench.stores import make_tables, stores


def test_a_server_that_does_not_sync_is_refused() -> None:
    check_postgres({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"})
    with pytest.raises(NotDurableError, match="fsync=off"):
        check_postgres({"fsync": "off", "synchronous_commit": "on", "full_page_writes": "on"})


def test_sqlite_in_memory_cannot_be_made_durable() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(NotDurableError, match="journal_mode=memory"):
        set_full(connection)
    connection.close()


async def test_rows_are_counted_by_a_connection_of_its_own(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await make_tables(url, "CREATE TABLE things (a INTEGER, b VARCHAR(3))", "things", [(1, "x"), (2, "y")])
    assert await count(url, "things") == 2
    assert await count(url, "things", "b = 'y'") == 1


async def test_two_parts_that_want_a_store_of_the_same_name_get_two(tmp_path: Path) -> None:
    with stores("sqlite", tmp_path) as fresh:
        assert await fresh.new("auth") != await fresh.new("auth")
