"""Hints between the processes of one service: what one has committed, somebody may be waiting for at another.

On PostgreSQL they are `NOTIFY`s, on SQLite there is no other process. A hint may get lost, so whoever waits also looks
for themselves, only less often. A process that is alone says nothing but that it is there.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import sqlalchemy as sa
import structlog

from chassis.db import END_WHEN_SILENT, SILENT_SESSION, Store

log = structlog.get_logger()

HELLO_SECONDS: Final = 3.0
"""How often a process says that it is there."""
GONE_AFTER_SECONDS: Final = 10.0
"""A process that was not heard for so long is not told any more."""
RETRY_SECONDS: Final = 1.0
MAX_BYTES: Final = 7_900
"""PostgreSQL refuses a payload of 8,000 bytes and more."""

Hear = Callable[[str], None]


class Hints(Protocol):
    """To and from the other processes of the same service on the same store."""

    def on(self, topic: str, hear: Hear) -> None:
        """Have `hear` called with what others tell under `topic`. It may come late, twice or never."""
        ...

    def tell(self, topic: str, text: str) -> None:
        """Tell the others soon, if there are any. `text` is ASCII without quotes, and short: an id and a word."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def hints(store: Store, name: str) -> Hints:
    """What fits the store."""
    return NobodyElse() if store.sqlite_path is not None else PostgresHints(store, name)


class NobodyElse:
    """A SQLite file has one process that works."""

    def on(self, topic: str, hear: Hear) -> None: ...

    def tell(self, topic: str, text: str) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class PostgresHints:
    """A connection of its own that listens and tells. What is told while it tells goes together with the next."""

    def __init__(self, store: Store, name: str) -> None:
        self._engine = store.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._channel = f"{name}.hints"
        self._hear: dict[str, Hear] = {}
        self._told: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        self._others: dict[int, float] = {}
        """When each other process was heard last, by the pid of its session at the server."""
        self._task: asyncio.Task[None] | None = None

    def on(self, topic: str, hear: Hear) -> None:
        self._hear[topic] = hear

    def tell(self, topic: str, text: str) -> None:
        if self._others:
            self._told.append((topic, text))
            self._wake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="hints")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._talk()
            except (sa.exc.DBAPIError, OSError) as error:
                log.warning("hints.lost", channel=self._channel, error=type(error).__name__)
                self._others.clear()
                self._told.clear()
                await asyncio.sleep(RETRY_SECONDS)

    async def _talk(self) -> None:
        """Listen and tell, until the connection is lost."""
        connection = await self._engine.connect()
        try:
            # A frozen process would hear nothing, and keep what it has not heard in the server's queue.
            await connection.execute(END_WHEN_SILENT, SILENT_SESSION)
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.add_listener(self._channel, self._heard)
            while True:
                told, self._told = self._told, []
                for payload in payloads(told):
                    await connection.execute(_NOTIFY, {"channel": self._channel, "payload": payload})
                with suppress(TimeoutError):
                    async with asyncio.timeout(HELLO_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
                since = time.monotonic() - GONE_AFTER_SECONDS
                self._others = {pid: at for pid, at in self._others.items() if at > since}
        finally:
            await connection.invalidate()
            await connection.close()

    def _heard(self, session: Any, pid: int, _channel: str, payload: str) -> None:
        if pid == session.get_server_pid():
            return
        if pid not in self._others:
            self._wake.set()  # it does not know us either: say hello
        self._others[pid] = time.monotonic()
        try:
            for topic, text in json.loads(payload):
                if topic in self._hear:  # not so if it is of another version
                    self._hear[topic](text)
        except (ValueError, TypeError) as error:
            log.warning("hints.not_understood", channel=self._channel, error=type(error).__name__)


_NOTIFY: Final = sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload")))


def payloads(told: Sequence[tuple[str, str]]) -> Iterator[str]:
    """JSON lists that hold everything, each short enough for PostgreSQL; an empty one, which is a hello, of nothing."""
    part: list[str] = []
    length = 2
    for each in told:
        text = json.dumps(each)
        if part and length + len(text) + 1 > MAX_BYTES:
            yield f"[{','.join(part)}]"
            part, length = [], 2
        part.append(text)
        length += len(text) + 1
    yield f"[{','.join(part)}]"
