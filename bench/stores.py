"""Stores for the contestants: each gets a fresh SQLite file, or a fresh database on a private PostgreSQL server."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bench.durability import POSTGRES, check_postgres, plain
from tests.support.postgres import private_cluster

KINDS: Final = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Stores:
    """Where fresh stores come from: a folder, or a server's URL without a database."""

    folder: Path
    server: str | None = None

    @property
    def kind(self) -> str:
        return "sqlite" if self.server is None else "postgresql"

    @property
    def described(self) -> str:
        """The kind, with the settings that make it durable."""
        if self.server is None:
            return "SQLite, WAL, synchronous=FULL"
        return "PostgreSQL, " + ", ".join(f"{name}={value}" for name, value in POSTGRES.items())

    async def new(self, name: str) -> str:
        """SQLAlchemy's URL of an empty store; another one each time, also under the same name.

        Raises:
            NotDurableError: the server may forget what was committed.
        """
        database = f"{name}_{secrets.token_hex(4)}"
        if self.server is None:
            return f"sqlite+aiosqlite:///{self.folder / database}.db"
        connection = await asyncpg.connect(f"{plain(self.server)}/postgres")
        try:
            await connection.execute(f"CREATE DATABASE {database}")
        finally:
            await connection.close()
        url = f"{self.server}/{database}"
        connection = await asyncpg.connect(plain(url))
        try:
            check_postgres({name: await connection.fetchval(f"SHOW {name}") for name in POSTGRES})
        finally:
            await connection.close()
        return url


@contextmanager
def stores(kind: str, folder: Path) -> Iterator[Stores]:
    """Fresh stores of a kind; a PostgreSQL server of one's own ends with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        yield Stores(folder)
        return
    with private_cluster(durable=True) as server:
        yield Stores(folder, server)


async def make_tables(url: str, schema: str, table: str = "", rows: Sequence[tuple[Any, ...]] = ()) -> None:
    """Run the statements of `schema`, one after the other, and put `rows` into `table`, by position."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in filter(str.strip, schema.split(";")):
                await connection.execute(sa.text(statement))
            if rows:
                names = [f"c{number}" for number in range(len(rows[0]))]
                insert = f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608 - our own constants
                await connection.execute(sa.text(insert), [dict(zip(names, row, strict=True)) for row in rows])
    finally:
        await engine.dispose()
