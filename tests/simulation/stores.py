"""Stores in memory: real SQLite with the real schema, one connection per service, wiped between worlds.

A transaction runs from BEGIN to COMMIT within one step of the loop, so that the one connection never shows a reader
what is not committed: the reader checks it. The delay of a commit follows it; those who wait for its answer wait.
"""

import asyncio
import functools
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping, make_url
from sqlalchemy.pool import NullPool

from chassis.db import Reader, Store
from chassis.migrate import migrate
from chassis.sessions import SqliteSession, WriteSession

_URL: Final = make_url("sqlite://")

Pause = Callable[[], Awaitable[None]]


class Connection(sqlite3.Connection):
    """A connection whose end loses what was not committed, and nothing else."""

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()


class Disk:
    """What outlives a process of one service."""

    def __init__(self, service: str) -> None:
        self._template = _migrated(service)
        self.connection = sqlite3.connect(":memory:", factory=Connection, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.engine = sa.create_engine(
            _URL, creator=lambda: self.connection, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        self.reading = self.engine.connect()
        self._sessions: list[sa.Connection] = []

    def open(self) -> sa.Connection:
        """A connection for a writer."""
        self._sessions.append(self.engine.connect())
        return self._sessions[-1]

    def forget_sessions(self) -> None:
        """Close what a process that died left open. Left to the garbage collector, it would roll back at any moment."""
        for session in self._sessions:
            session.close()
        self._sessions.clear()

    def wipe(self) -> None:
        """As after the migrations."""
        self.forget_sessions()
        self.connection.close()
        self._template.backup(self.connection)

    def count(self, query: str) -> int:
        """The one number a query tells."""
        (number,) = self.connection.execute(query).fetchone()
        return int(number)


@functools.cache
def disk(service: str) -> Disk:
    """The disk of a service, one per process of ours: engines and compiled statements are worth keeping."""
    return Disk(service)


@functools.cache
def _migrated(service: str) -> sqlite3.Connection:
    template = sqlite3.connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        migrate(f"{service}_svc", f"sqlite+aiosqlite:///{path}")
        file = sqlite3.connect(path)
        file.backup(template)
        file.close()
    return template


class SimStore(Store):
    """The store of one process, on a disk."""

    def __init__(self, disk: Disk, reader: Reader, committer: "Committer") -> None:
        self.url = _URL
        self.dialect = "sqlite"
        self.reader = reader
        self._disk = disk
        self._committer = committer

    async def open_session(self) -> WriteSession:
        return SqliteSession(self._disk.open(), self._committer)

    def set_pragma(self, name: str, value: str) -> None:
        """Pragmas are about files."""

    async def close(self) -> None:
        """The disk stays."""


class Committer:
    """Commits inline. `trouble` may raise instead of the commit, or after it; `pause` is how long the answer takes."""

    def __init__(self, disk: Disk, trouble: Callable[[str], None], pause: Pause) -> None:
        self._disk = disk
        self._trouble = trouble
        self._pause = pause

    async def commit(self) -> None:
        self._trouble("before")
        self._disk.connection.commit()
        self._trouble("after")
        await self._pause()

    async def close(self) -> None:
        """Nothing of its own to close."""


class SimReader:
    """Reads inline, from what is committed; the answer takes a while, so it may be old when it comes."""

    def __init__(self, disk: Disk, pause: Pause) -> None:
        self._disk = disk
        self._pause = pause

    async def all(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        if self._disk.connection.in_transaction:
            raise AssertionError("a handler was suspended inside of its transaction")
        rows = self._disk.reading.execute(statement, parameters or {}).mappings().all()
        await self._pause()
        return rows

    async def first(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> RowMapping | None:
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        return await self.all(statement, parameters)

    async def close(self) -> None:
        """Nothing of its own to close."""


class Alone:
    """The leadership of a relay that has no rival: one process per service, and its predecessor is dead."""

    leads = True

    async def hold(self) -> bool:
        return True

    async def release(self) -> None:
        """Nobody waits for it."""


async def pause(seconds: float) -> None:
    """A pause that is none when there is nothing to wait for."""
    if seconds > 0:
        await asyncio.sleep(seconds)
