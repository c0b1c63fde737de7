"""Stores: the engine that writes (one connection, one writer), the reader beside it, and column types.

SQLite runs in WAL mode with `synchronous=FULL`: a commit that was answered survives a power cut. Every write
transaction is `BEGIN IMMEDIATE`: a deferred one that turns from reading to writing fails at once when another process
has written meanwhile.
PostgreSQL runs with its default `synchronous_commit=on`.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Dialect, RowMapping, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from chassis.sessions import PostgresSession, SqliteSession, WriteSession, sqlite_write_engine

BUSY_TIMEOUT_MS = 5_000
READ_THREADS = 2
READ_CONNECTIONS = 4
READ_CACHE_KIB: Final = 512
"""What a SQLite connection that reads keeps of pages, and may sort in memory; by default it is 2 MB. The kernel has the
pages anyway: with 100,000 products reads cost the same to a few percent, and whole tables are sorted for audits."""
SILENT_AFTER_MS: Final = 10_000
"""How long PostgreSQL waits for the next statement of a transaction: a frozen process must not keep its rows locked. So
long it waits, too, for a session that leads or listens: longer than a window of publishes may take, which is 5 s."""
WRITE_PRAGMAS: Final = {"journal_mode": "WAL", "synchronous": "FULL", "foreign_keys": "ON"}

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit autoincrementing key; SQLite autoincrements only a column declared INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite has no time zones, so the zone is put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are aware; a naive one was given")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def at_most(rows: int) -> sa.ColumnElement[int]:
    """For `limit()`: a number in the statement's text, so `rows` is one of few.

    PostgreSQL keeps a plan for a prepared statement if it looks as cheap as one made for the parameters at hand, and of
    a limit that is a parameter it supposes a tenth of the table: such a statement is planned anew each time, which for
    a page of products took longer than to read it.
    """
    return sa.literal_column(str(rows), sa.Integer)


PAGE_ROWS: Final = (21, 51, 101)
"""How many rows are read for a page, whatever its size up to 100: a text for each size would be too many statements."""


def rows_for(limit: int) -> int:
    """How many to read for a page of `limit`: at least one more, to know whether another page follows."""
    return next(rows for rows in PAGE_ROWS if rows > limit)


class Reader(Protocol):
    """Reads for GET: no transaction is held, each statement sees what was committed before it."""

    async def all(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[RowMapping]: ...

    async def first(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> RowMapping | None: ...

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        """A handful of rows that an index leads to: what costs less than to have it done elsewhere."""
        ...

    async def close(self) -> None: ...


END_WHEN_SILENT: Final = sa.text(
    "SELECT set_config('idle_session_timeout', :after, false)"
    " WHERE current_setting('server_version_num')::int >= 140000"  # older ones do not know it
)
"""For a session of PostgreSQL that is to end with whoever has it, also if they are frozen or cut off."""
SILENT_SESSION: Final = {"after": f"{SILENT_AFTER_MS}ms"}


class Store:
    """One service's database: a session for the writer, `reader` for everything that only looks.

    `engine` is there on PostgreSQL only.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        self._pragmas = dict(WRITE_PRAGMAS)
        match self.dialect:
            case "sqlite":
                _ensure_folder(self.url)
                self._sqlite = sqlite_write_engine(self.url, self._prepare)
                self.reader: Reader = SqliteReader(self.url)
            case "postgresql":
                settings = {"idle_in_transaction_session_timeout": str(SILENT_AFTER_MS)}
                self.engine = create_async_engine(
                    self.url,
                    pool_size=READ_CONNECTIONS + 3,  # one writes, one leads or waits to, one gives and hears hints
                    max_overflow=1,
                    pool_pre_ping=True,
                    connect_args={"server_settings": settings},
                )
                self.reader = EngineReader(self.engine)
            case other:
                raise ValueError(f"unsupported database {other!r}: use sqlite+aiosqlite or postgresql+asyncpg")

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, None on PostgreSQL."""
        return Path(self.url.database) if self.dialect == "sqlite" and self.url.database else None

    async def open_session(self) -> WriteSession:
        """A new connection to write with."""
        if self.dialect == "sqlite":
            return await SqliteSession.open(self._sqlite)
        return await PostgresSession.open(self.engine)

    def set_pragma(self, name: str, value: str) -> None:
        """Set a pragma on the writer's next connection; does nothing on PostgreSQL."""
        self._pragmas[name] = value

    async def close(self) -> None:
        await self.reader.close()
        if self.dialect == "sqlite":
            self._sqlite.dispose()
        else:
            await self.engine.dispose()

    def _prepare(self, connection: Any) -> None:
        cursor = connection.cursor()
        for name, value in self._pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        (journal,) = cursor.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = cursor.execute("PRAGMA synchronous").fetchone()
        if (journal, synchronous) != ("wal", 2):
            raise RuntimeError(f"SQLite refused WAL with synchronous=FULL (it says {journal}, {synchronous})")
        # What a process before us wrote into the log and died over may be in the kernel's memory only. Nothing is
        # answered from it until it is synced, in the database file: the kernel forgets what it once failed to sync.
        cursor.execute("PRAGMA wal_checkpoint(FULL)")
        cursor.close()


class SqliteReader:
    """Runs each query in one hop to a worker thread, on that thread's own synchronous connection.

    An async driver pays a thread hop per cursor call; a point read is four of them. One hop for the whole query was
    measured 2.7 times faster. A read by key takes microseconds and no hop at all: two threads that want the interpreter
    at the same time cost more than the read.
    """

    def __init__(self, url: URL, threads: int = READ_THREADS) -> None:
        self._engine = sa.create_engine(
            url.set(drivername="sqlite"),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", _read_pragmas)
        self._inline_engine = sa.create_engine(
            url.set(drivername="sqlite"), isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        event.listen(self._inline_engine, "connect", _inline_read_pragmas)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._local = threading.local()
        self._connections: list[sa.Connection] = []
        self._inline: sa.Connection | None = None

    async def all(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._query, statement, parameters)

    async def first(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> RowMapping | None:
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        try:
            if self._inline is None:
                self._inline = self._inline_engine.connect()
            return self._inline.execute(statement, parameters).mappings().all()
        except OperationalError:  # locked for the moment, or in trouble: the thread may wait, and says what is wrong
            return await self.all(statement, parameters)

    async def close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._engine.dispose()
        if self._inline is not None:
            self._inline.close()
        self._inline_engine.dispose()

    def _query(self, statement: sa.Executable, parameters: Mapping[str, Any] | None) -> Sequence[RowMapping]:
        return self._connection().execute(statement, parameters or {}).mappings().all()

    def _connection(self) -> sa.Connection:
        connection: sa.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._engine.connect()
            self._connections.append(connection)
        return connection


class EngineReader:
    """Reads through connections of its own in autocommit mode: no begin, no rollback, one round trip for each query.

    They are kept between reads and not tried before one: to check a pooled connection out, with a ping that begins and
    rolls back, took four times what the query itself takes. A read may be done twice, so one that meets a connection
    that has been lost meanwhile is done again on a new one.
    """

    def __init__(self, engine: AsyncEngine, connections: int = READ_CONNECTIONS) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._idle: list[AsyncConnection] = []
        self._free = asyncio.Semaphore(connections)

    async def all(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        async with self._free:
            if self._idle:
                try:
                    return await self._query(self._idle.pop(), statement, parameters)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    await self.close()  # a server that restarts ends them all
            return await self._query(await self._engine.connect(), statement, parameters)

    async def first(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> RowMapping | None:
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        return await self.all(statement, parameters)

    async def close(self) -> None:
        """Give back the connections nobody reads with."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _query(
        self, connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any] | None
    ) -> Sequence[RowMapping]:
        try:
            rows = (await connection.execute(statement, parameters or {})).mappings().all()
        except BaseException:  # also when whoever asked has gone: what the connection is still about nobody knows
            await connection.invalidate()
            await connection.close()
            raise
        self._idle.append(connection)
        return rows


def _read_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA query_only=ON")
    cursor.execute(f"PRAGMA cache_size=-{READ_CACHE_KIB}")
    cursor.close()


def _inline_read_pragmas(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout=0")  # a wait would be the event loop's
    connection.execute("PRAGMA query_only=ON")
    connection.execute(f"PRAGMA cache_size=-{READ_CACHE_KIB}")


def _ensure_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
