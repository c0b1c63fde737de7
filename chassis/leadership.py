"""Who may relay: one process per store. Losing the lead mid-window costs duplicates, never losses."""

import fcntl
from pathlib import Path
from typing import IO, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.db import Store

log = structlog.get_logger()


class Leadership(Protocol):
    """Held by at most one process at a time."""

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
    and the connection only pings afterwards.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._engine = store.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._name = name
        self._connection: AsyncConnection | None = None

    async def hold(self) -> bool:
        try:
            if self._connection is not None:
                await self._connection.execute(sa.text("SELECT 1"))
                return True
            return await self._take()
        except (sa.exc.DBAPIError, OSError) as error:
            log.warning("leadership.lost", name=self._name, error=type(error).__name__)
            await self._drop()
            return False

    async def release(self) -> None:
        await self._drop()

    async def _take(self) -> bool:
        connection = await self._engine.connect()
        key = sa.func.hashtextextended(self._name, 0)
        try:
            leads = bool((await connection.execute(sa.select(sa.func.pg_try_advisory_lock(key)))).scalar())
        except BaseException:
            # The server may have given us the lock before the answer was lost: only ending the session gives it back.
            await connection.invalidate()
            await connection.close()
            raise
        if leads:
            self._connection = connection
        else:
            await connection.close()
        return leads

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()
