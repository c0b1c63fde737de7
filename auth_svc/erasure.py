"""Makes erased data leave the files, not only the tables: SQLite keeps deleted bytes until they are overwritten."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from chassis.db import Store


def scrub_deleted_pages(store: Store) -> None:
    """Overwrite with zeros what is deleted or replaced, from the next connection on. PostgreSQL has its vacuum."""
    store.set_pragma("secure_delete", "ON")


class WalEraser:
    """Empties the write-ahead log, where old pages live on, within a minute of an erasure."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._due = True

    def request(self) -> None:
        self._due = True

    async def run(self) -> int:
        """Truncate the log if something was erased; 1 if that worked. Readers in its way only postpone it.

        Raises:
            sqlite3.OperationalError: the disk is full or fails; it stays due.
        """
        if not self._due or self._path is None:
            return 0
        self._due = emptied = False
        try:
            emptied = await asyncio.to_thread(_truncate_wal, self._path)
        finally:
            self._due = self._due or not emptied  # something else may have been erased meanwhile
        return int(emptied)


def _truncate_wal(path: Path) -> bool:
    """Whether it is empty now."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
