"""The writer's own connection to the store, and its transactions.

On SQLite the statements of a batch run right here on the event loop, and only the commit goes to a thread. A statement
on a cached page takes some ten microseconds, while each hop to a driver's thread and back costs a hundred or more and
a batch makes a dozen; the commit, which waits for the disk, is what must not hold up the loop.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NoReturn, Protocol

import aiosqlite
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

log = structlog.get_logger()

LOCK_TRIES: Final = 100
LOCK_PAUSE_SECONDS: Final = 0.05
EXIT_SYNC_FAILED: Final = 74
"""The exit status (`EX_IOERR`) of a process whose disk failed to keep a commit."""

_SYNC_FAILED: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_STORE_DOWN: Final = frozenset({"08", "53", "55", "57", "58"})
"""PostgreSQL's SQLSTATE classes for: connection, resources, locks, operator intervention, system error."""


class Connection(Protocol):
    """What a unit of work runs its statements on."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, statement: sa.Executable, parameters: Any = None) -> Awaitable[sa.CursorResult[Any]]: ...


class WriteSession(Protocol):
    """One connection for one writer; transactions on it go one after the other."""

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Commits at the end of the block, rolls back when the block raises.

        Raises:
            sqlalchemy.exc.OperationalError: the store is locked by another process, full, or gone.
        """

    async def close(self) -> None: ...


class PostgresSession:
    """A session on PostgreSQL: the async driver's own transactions."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, engine: AsyncEngine) -> "PostgresSession":
        return cls(await engine.connect())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._connection.begin():
            yield self._connection

    async def close(self) -> None:
        await self._connection.invalidate()
        await self._connection.close()


class Committer(Protocol):
    """Commits what was done on a connection, without holding up the loop; aiosqlite's connection is one."""

    async def commit(self) -> None: ...

    async def close(self) -> None: ...


class SqliteSession:
    """A session on a SQLite file: statements inline, the commit in the committer's thread."""

    def __init__(self, connection: sa.Connection, committer: Committer) -> None:
        self._connection = connection
        self._inline = _InlineConnection(connection)
        self._committer = committer

    @classmethod
    async def open(cls, engine: sa.Engine) -> "SqliteSession":
        """`engine` is one of `sqlite_write_engine`."""
        connection = await asyncio.to_thread(engine.connect)  # may wait for whoever has the file locked
        driver: Any = connection.connection.driver_connection
        return cls(connection, await aiosqlite.Connection(lambda: driver, iter_chunk_size=1))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        await self._begin()
        try:
            yield self._inline
            await self._commit()
        except BaseException:
            self._roll_back()
            raise

    async def close(self) -> None:
        await self._committer.close()
        self._connection.invalidate()
        self._connection.close()

    async def _begin(self) -> None:
        """Take the write lock, without holding up the loop while another process has it."""
        for _ in range(LOCK_TRIES):
            try:
                self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not _is_locked(error):
                    raise
                await asyncio.sleep(LOCK_PAUSE_SECONDS)
            else:
                return
        self._connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def _commit(self) -> None:
        try:
            await self._committer.commit()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in _SYNC_FAILED:  # Python's own errors have none
                abandon_process(error)
            raise OperationalError("COMMIT", None, error) from error

    def _roll_back(self) -> None:
        driver: Any = self._connection.connection.driver_connection
        if driver is not None and driver.in_transaction:
            driver.rollback()


class _InlineConnection:
    """Looks asynchronous, never suspends."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.dialect: Dialect = connection.dialect

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, parameters)


def sqlite_write_engine(url: URL, on_connect: Callable[[Any], None]) -> sa.Engine:
    """An engine whose connections leave beginning and committing to us; `on_connect` sets their pragmas."""
    engine = sa.create_engine(
        url.set(drivername="sqlite"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False},
    )

    def prepare(connection: Any, _record: object) -> None:
        on_connect(connection)
        connection.execute("PRAGMA busy_timeout=0")  # from now on a wait would be the event loop's

    sa.event.listen(engine, "connect", prepare)
    return engine


def is_store_trouble(error: Exception) -> bool:
    """Whether the store, not the statement, is at fault: lost, locked, damaged, or on a full or read-only disk."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError | PoolTimeoutError)
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    if (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGED:
        return True
    return str(getattr(error.orig, "sqlstate", None) or "")[:2] in _STORE_DOWN


def abandon_process(error: sqlite3.Error) -> NoReturn:
    """End at once: whether the commit is on the disk cannot be known, and a second sync would only say that it is.

    The kernel may drop what it failed to write and call it clean. The next process reads the log anew and moves what
    is in it to the database file before it answers; those who waited ask again, with the same idempotency key.
    """
    log.critical("store.sync_failed", error=error.sqlite_errorname, exit_status=EXIT_SYNC_FAILED)
    sys.stdout.flush()
    os._exit(EXIT_SYNC_FAILED)


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
