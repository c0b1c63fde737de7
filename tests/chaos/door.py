"""The way to one service for many people at once: kept connections, and an honest word about every request."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle
from typing import Any

import httptools

from bench.http import Answer, Connection

ANSWER_SECONDS = 10.0


class RefusedError(Exception):
    """Nobody was there: not a byte of the request was sent."""


class NoAnswerError(Exception):
    """The request was sent and nothing came back: it may have taken effect or not."""


class Door:
    """As many connections as there are requests at once; a closed one is not used again.

    Behind it are one or more processes of the service. Requests go to each in turn, and on to the next where nobody is
    there, as an edge does it.
    """

    def __init__(self, *urls: str) -> None:
        self._idle: dict[str, list[Connection]] = {url: [] for url in urls}
        self._turns = cycle(urls)

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: dict[str, Any] | None = None,
        *,
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """Send a request once.

        Raises:
            RefusedError: it was not sent: no process is there.
            NoAnswerError: it was sent and not answered within `seconds`.
        """
        url, connection = await self._any_connection(seconds)
        try:
            async with asyncio.timeout(seconds):
                answer = await connection.once(method, target, headers, body)
        except (OSError, EOFError, TimeoutError, httptools.HttpParserError) as error:
            await connection.close()
            raise NoAnswerError(type(error).__name__) from error
        except asyncio.CancelledError:
            await connection.close()
            raise
        self._idle[url].append(connection)
        return answer

    async def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()

    async def _any_connection(self, seconds: float) -> tuple[str, Connection]:
        for _ in range(len(self._idle) - 1):
            url = next(self._turns)
            with suppress(RefusedError):
                return url, await self._connection(url, seconds)
        url = next(self._turns)
        return url, await self._connection(url, seconds)

    async def _connection(self, url: str, seconds: float) -> Connection:
        idle = self._idle[url]
        while idle:
            connection = idle.pop()
            if not connection.stale:
                return connection
            await connection.close()
        connection = Connection(url)
        try:
            async with asyncio.timeout(seconds):
                await connection.open()
        except (OSError, TimeoutError) as error:
            raise RefusedError(type(error).__name__) from error
        return connection
