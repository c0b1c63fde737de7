"""Who may relay: one process per store. Losing the lead mid-window costs duplicates, never losses."""

import fcntl
import time
from pathlib import Path
from typing import IO, Any, Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.db import END_WHEN_SILENT, SILENT_SESSION, Store

log = structlog.get_logger()

ASK_EVERY_SECONDS: Final = 1.0
"""How often a leader whose connection looks open makes sure that it is. A lost one is closed as soon as the server says
so; only a leader that was frozen, or cut off, learns it by asking."""
TRY_EVERY_SECONDS: Final = 0.5
"""How often somebody who does not lead asks for the lead, however often they are woken."""


class Leadership(Protocol):
    """Held by at most one process at a time."""

    @property
    def leads(self) -> bool:
        """Whether we led when last asked."""
        ...

    async def hold(self) -> bool:
        """Whether we lead now; tries to take the lead if nobody has it."""
        ...

    async def release(self) -> None: ...


def leadership(store: Store, name: str) -> Leadership:
    """The leadership that fits the store: a lock file beside a SQLite file, an advisory lock in PostgreSQL."""
    path = store.sqlite_path
    if path is not None:
        return FileLeadership(path.with_name(f"{path.name}.{name}.lock"))
    return AdvisoryLeadership(store, name)


class FileLeadership:
    """`flock` on a file: the kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    @property
    def leads(self) -> bool:
        return self._file is not None

    async def hold(self) -> bool:
        if self._file is not None:
            return True
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    async def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class AdvisoryLeadership:
    """A session advisory lock on a connection of its own; the server drops it with the connection.

    Session locks stack and an open transaction would hold back vacuum, so the lock is taken once, in autocommit mode,
    and the connection only pings afterwards, once a second. The server ends a session that is silent for
    `SILENT_AFTER_MS`: the connection of a frozen process stays open, and would keep the lock for as long.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._engine = store.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._name = name
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._answered = float("-inf")
        self._leads = False
        self._tried = float("-inf")

    @property
    def leads(self) -> bool:
        return self._leads

    async def hold(self) -> bool:
        try:
            if self._leads and self._connection is not None:
                await self._make_sure(self._connection)
            elif time.monotonic() - self._tried >= TRY_EVERY_SECONDS:
                await self._take()
        except (sa.exc.DBAPIError, OSError) as error:
            log.warning("leadership.lost", name=self._name, error=type(error).__name__)
            await self._drop()
        return self._leads

    async def release(self) -> None:
        await self._drop()

    async def _take(self) -> None:
        """Ask for the lock. Should the answer get lost, `hold` ends the session: only that surely gives it back."""
        self._tried = time.monotonic()
        if self._connection is None:
            self._connection = await self._engine.connect()
            await self._connection.execute(END_WHEN_SILENT, SILENT_SESSION)
        lock = sa.select(sa.func.pg_try_advisory_lock(sa.func.hashtextextended(self._name, 0)))
        if bool((await self._connection.execute(lock)).scalar()):
            self._driver = (await self._connection.get_raw_connection()).driver_connection
            self._leads, self._answered = True, self._tried

    async def _make_sure(self, connection: AsyncConnection) -> None:
        """Ask the server whether the session is still there, unless it answered a moment ago."""
        asked = time.monotonic()
        if self._driver.is_closed() or asked - self._answered >= ASK_EVERY_SECONDS:
            await connection.execute(sa.text("SELECT 1"))
            self._answered = asked

    async def _drop(self) -> None:
        self._leads = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()
