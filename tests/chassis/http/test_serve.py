"""The server on a real socket: drains when told to stop, and survives what only a socket can send."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from chassis.serve import Server
from chassis.settings import ServiceSettings
from tests.chassis.http.tiny import tiny_app
from tests.support.waiting import wait_until


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    app, _, _ = tiny_app(str(tmp_path / "things.db"))

    @app.get("/until-stopping")
    async def until_stopping() -> dict[str, str]:
        await app.state.stopping.wait()
        return {"told": "to stop"}

    server = Server(app, ServiceSettings(port=0, shutdown_seconds=2))
    task = asyncio.create_task(server._serve())  # without the signal handlers: they belong to pytest
    await wait_until(lambda: server.started)
    yield server
    server.should_exit = True
    await task


def address(server: Server) -> tuple[str, int]:
    host, port = server.servers[0].sockets[0].getsockname()
    return host, port


async def raw(server: Server, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address(server))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_waiting_answer_is_told_and_delivered_before_the_server_stops(server: Server) -> None:
    async with httpx.AsyncClient(base_url="http://{}:{}".format(*address(server))) as client:
        waiting = asyncio.create_task(client.get("/until-stopping"))
        await wait_until(lambda: bool(server.server_state.tasks))
        server.should_exit = True
        assert (await waiting).json() == {"told": "to stop"}


async def test_there_is_no_server_header(server: Server) -> None:
    answer = await raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"server:" not in answer.lower()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 30_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", b"400"),
        (b"rubbish\r\n\r\n", b"400"),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (
            b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
    ],
)
async def test_raw_requests(server: Server, request_bytes: bytes, status: bytes) -> None:
    answer = await raw(server, request_bytes)
    assert answer.split(b" ", 2)[1] == status
