"""The load client: it counts what was answered, in whatever pieces it comes, and refuses to count what was not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.load import KEY, LoadFailedError, Plan, load, message

ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone"


class Counting:
    """A server that answers everything with the same bytes, in two pieces, and remembers the keys it saw."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.keys: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.keys.append(head.partition(b"Idempotency-Key: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(len(b'{"a": 1}'))
                writer.write(self.answer[:30])
                await writer.drain()
                await asyncio.sleep(0)  # lets the other side read half of it; waits for no time
                writer.write(self.answer[30:])
        except asyncio.IncompleteReadError:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def plan(url: str, status: int) -> Plan:
    messages = [message("POST", "/", {"Idempotency-Key": KEY}, {"a": 1})]
    return Plan(url, messages, status, connections=2, warm_up=0.05, seconds=0.2)


async def test_every_request_has_a_key_of_its_own_and_each_answer_is_counted_once() -> None:
    server = Counting()
    async with server.running() as url:
        result = await load(plan(url, 201))
    assert 0 < result.answered < result.in_all == len(server.keys) == len(set(server.keys))
    assert 0 < result.p50_ms <= result.p99_ms


async def test_an_answer_with_another_status_leaves_no_figure() -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    async with Counting(refusal).running() as url:
        with pytest.raises(LoadFailedError, match="503 instead of 201: b'busy'"):
            await load(plan(url, 201))


async def test_a_connection_that_is_closed_early_leaves_no_figure() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        with pytest.raises(LoadFailedError, match="connection was lost"):
            await load(plan(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 201))
