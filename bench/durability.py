"""What every contestant must have set before it is timed: a figure from a store that may forget is no figure."""

import sqlite3
from pathlib import Path
from typing import Any


class NotDurableError(Exception):
    """A store or queue is not as durable as the shop's own; nothing is measured then."""


def set_full(connection: Any) -> None:
    """Make a SQLite connection as durable as the shop's, and see that it is.

    Raises:
        NotDurableError: SQLite did not take it.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA journal_mode")
    (journal,) = cursor.fetchone()
    cursor.execute("PRAGMA synchronous")
    (synchronous,) = cursor.fetchone()
    cursor.close()
    if (journal, synchronous) != ("wal", 2):
        raise NotDurableError(f"journal_mode={journal}, synchronous={synchronous}; wanted wal and 2 (FULL)")


def count(path: Path, table: str) -> int:
    """How many rows a contestant's table has now; `table` is one of our own constants."""
    connection = sqlite3.connect(path)
    try:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - see above
    finally:
        connection.close()
    return int(rows)
