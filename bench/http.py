"""A lean HTTP/1.1 client for load: one kept connection, C parsing. A general client took most of a core for itself."""

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httptools


class Answer:
    """Status and body of one answer."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.complete = False
        self.last = False
        """Whether the server closes the connection after it."""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True
        self.status = self._parser.get_status_code()
        self.last = not self._parser.should_keep_alive()  # asked any later, the parser has forgotten and says no

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to one server; requests on it go one after the other. Reconnects when the server closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def stale(self) -> bool:
        """Whether it is not open (any more): the next request begins with connecting."""
        return self._streams is None or self._streams[0].at_eof()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, if that is necessary."""
        if self._streams is None or self.stale:
            await self.close()
            self._streams = await asyncio.open_connection(self._host, self._port)
        return self._streams

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: dict[str, Any] | None = None
    ) -> Answer:
        """Send a request and read its whole answer; once more if the server has closed the kept connection."""
        for last in (False, True):
            try:
                return await self.once(method, target, headers, body)
            except (ConnectionError, EOFError):
                await self.close()
                if last:
                    raise
        raise AssertionError("not reached")

    async def once(
        self, method: str, target: str, headers: Mapping[str, str], body: dict[str, Any] | None = None
    ) -> Answer:
        """Send a request and read its whole answer, without a second try.

        Raises:
            OSError, EOFError: there was none; the server may have got the request or not.
        """
        payload = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append("Content-Type: application/json")
        return await self._exchange("\r\n".join([*lines, "", ""]).encode() + payload)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _exchange(self, message: bytes) -> Answer:
        reader, writer = await self.open()
        writer.write(message)
        answer = Answer()
        while not answer.complete:
            data = await reader.read(65536)
            if not data:
                raise EOFError
            answer.feed(data)
        if answer.last:
            await self.close()
        return answer
