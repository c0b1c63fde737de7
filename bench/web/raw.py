"""The floor's stores: raw sqlite3 and asyncpg, statements as text."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg
import sqlalchemy as sa

from bench.durability import plain, set_full
from bench.web.work import COLUMNS, PAGE, store_url

Row = tuple[Any, ...]

_NAMES = ", ".join(COLUMNS)
_PRODUCT = f"SELECT {_NAMES} FROM products WHERE sku = $1"  # noqa: S608 - our own constants
_PAGE = f"SELECT {_NAMES} FROM products WHERE category = $1 AND available > 0 ORDER BY title LIMIT {PAGE}"  # noqa: S608 - our own constants
_ORDER = "INSERT INTO orders VALUES ($1, $2, $3, $4)"
_EVENT = "INSERT INTO outbox VALUES ($1, $2, $3, $4)"


def _sqlite(statement: str) -> str:
    """With the parameters as SQLite numbers them."""
    return statement.replace("$", "?")


class Raw(Protocol):
    """What the floor asks of a store."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def insert(self, orders: Sequence[Row], events: Sequence[Row]) -> None:
        """All of them in one durable transaction."""

    async def product(self, sku: str) -> Sequence[Any] | None: ...

    async def page(self, category: str) -> Sequence[Sequence[Any]]: ...


class RawSqlite:
    """One connection, used on the event loop itself: a read takes some ten microseconds."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        set_full(self._connection)

    async def close(self) -> None:
        self._connection.close()

    async def insert(self, orders: Sequence[Row], events: Sequence[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_sqlite(_ORDER), orders)
        self._connection.executemany(_sqlite(_EVENT), events)
        self._connection.execute("COMMIT")

    async def product(self, sku: str) -> Sequence[Any] | None:
        row: Sequence[Any] | None = self._connection.execute(_sqlite(_PRODUCT), (sku,)).fetchone()
        return row

    async def page(self, category: str) -> Sequence[Sequence[Any]]:
        return self._connection.execute(_sqlite(_PAGE), (category,)).fetchall()


class RawPostgres:
    """asyncpg with its own pool; one connection of it writes."""

    def __init__(self, url: str) -> None:
        self._url = plain(url)

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._url, min_size=4, max_size=8)
        self._writing = await asyncpg.connect(self._url)

    async def close(self) -> None:
        await self._writing.close()
        await self._pool.close()

    async def insert(self, orders: Sequence[Row], events: Sequence[Row]) -> None:
        async with self._writing.transaction():
            await self._writing.executemany(_ORDER, orders)
            await self._writing.executemany(_EVENT, events)

    async def product(self, sku: str) -> Sequence[Any] | None:
        row = await self._pool.fetchrow(_PRODUCT, sku)
        return None if row is None else tuple(row.values())

    async def page(self, category: str) -> Sequence[Sequence[Any]]:
        return [tuple(row.values()) for row in await self._pool.fetch(_PAGE, category)]


def open_raw() -> Raw:
    """The store of this process, of the kind its URL says; to be opened."""
    url = sa.make_url(store_url())
    if url.get_backend_name() == "sqlite":
        return RawSqlite(url.database or "")
    return RawPostgres(url.render_as_string(hide_password=False))
