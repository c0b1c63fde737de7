"""The client of the whole shop: what it takes for a customer must not be what connecting takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.http import Connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n{}"


class Server:
    """Answers every request with the same bytes, and counts who connects."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.url = ""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[Server]:
    server = Server(answer)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        server.url = f"http://{host}:{port}"
        yield server


async def test_requests_share_one_connection() -> None:
    async with serving(OK % b"") as server, Connection(server.url) as connection:
        for _ in range(3):
            answer = await connection.request("GET", "/", {})
            assert (answer.status, answer.json()) == (200, {})
    assert server.connections == 1


async def test_a_connection_that_the_server_gives_up_is_not_used_again() -> None:
    async with serving(OK % b"Connection: close\r\n") as server, Connection(server.url) as connection:
        for _ in range(2):
            assert (await connection.request("GET", "/", {})).status == 200
    assert server.connections == 2
