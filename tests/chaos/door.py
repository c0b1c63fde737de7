"""The way to one service for many people at once: kept connections, and an honest word about every request."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httptools

from bench.http import Answer, Connection

ANSWER_SECONDS = 10.0


class RefusedError(Exception):
    """Nobody was there: not a byte of the request was sent."""


class NoAnswerError(Exception):
    """The request was sent and nothing came back: it may have taken effect or not."""


class Door:
    """As many connections as there are requests at once; a closed one is not used again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []

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
            RefusedError: it was not sent.
            NoAnswerError: it was sent and not answered within `seconds`.
        """
        connection = await self._connection(seconds)
        try:
            async with asyncio.timeout(seconds):
                answer = await connection.once(method, target, headers, body)
        except (OSError, EOFError, TimeoutError, httptools.HttpParserError) as error:
            await connection.close()
            raise NoAnswerError(type(error).__name__) from error
        except asyncio.CancelledError:
            await connection.close()
            raise
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _connection(self, seconds: float) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale:
                return connection
            await connection.close()
        connection = Connection(self._url)
        try:
            async with asyncio.timeout(seconds):
                await connection.open()
        except (OSError, TimeoutError) as error:
            raise RefusedError(type(error).__name__) from error
        return connection
