"""What every contestant must have set before it is timed: a figure from a store that may forget is no figure."""

import asyncio
import sqlite3
from typing import Any, Final

import asyncpg
import sqlalchemy as sa

POSTGRES: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


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


def check_postgres(settings: dict[str, str]) -> None:
    """See that a server's settings, as a new connection has them, keep what was committed through a power cut.

    Raises:
        NotDurableError: they do not.
    """
    wrong = [f"{name}={settings.get(name)}" for name, wanted in POSTGRES.items() if settings.get(name) != wanted]
    if wrong:
        raise NotDurableError(f"PostgreSQL has {', '.join(wrong)}; wanted {POSTGRES}")


async def count(url: str, table: str, where: str = "true") -> int:
    """How many rows a contestant's table has now, by another connection than the contestant's."""
    statement = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608 - callers give constants of their own code
    where_it_is = sa.make_url(url)
    if where_it_is.get_backend_name() == "sqlite":
        return await asyncio.to_thread(_count_sqlite, where_it_is.database or "", statement)
    connection = await asyncpg.connect(plain(url))
    try:
        return int(await connection.fetchval(statement))
    finally:
        await connection.close()


def plain(url: str) -> str:
    """SQLAlchemy's URL of a PostgreSQL database as asyncpg itself wants it."""
    return url.replace("postgresql+asyncpg:", "postgresql:", 1)


def _count_sqlite(path: str, statement: str) -> int:
    connection = sqlite3.connect(path)
    try:
        (rows,) = connection.execute(statement).fetchone()
    finally:
        connection.close()
    return int(rows)
