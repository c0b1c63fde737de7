"""The edge as a client meets it: what it lets through, what it keeps back, and what it says when a service is away."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.edge.serving import edge, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


class Upstream:
    """A service that reports what reached it, and streams until told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.go_on = asyncio.Event()
        self.streams_open = 0

    def app(self) -> Starlette:
        """Every path answers the same."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        if request.url.path.endswith("/events"):
            return StreamingResponse(self._stream(), media_type="text/event-stream")
        if request.url.path.endswith("/broken"):
            return JSONResponse({"type": "/problems/busy"}, 503, media_type="application/problem+json")
        try:
            size = len(await request.body())
        except ClientDisconnect:  # the edge gave the request up half way
            return Response(status_code=400)
        return JSONResponse({"headers": dict(request.headers), "size": size}, headers={"server": "upstream"})

    async def _stream(self) -> AsyncIterator[str]:
        self.streams_open += 1
        try:
            yield "data: first\n\n"
            await self.go_on.wait()
            yield "data: second\n\n"
        finally:
            self.streams_open -= 1


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.go_on.set()


@pytest.fixture
async def client(upstream: Upstream, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an edge whose catalog, order and auth services run and whose payment service is down."""
    async with (
        serving(upstream.app()) as port,
        edge({"AUTH": port, "CATALOG": port, "ORDER": port}, tmp_path) as url,
        httpx.AsyncClient(base_url=url, timeout=10.0) as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/orders", "/orders/1", "/orders/docs", "/orders/openapi.json", "/catalog/products"])
async def test_services_are_reached_under_their_prefix(
    client: httpx.AsyncClient, upstream: Upstream, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert upstream.paths == [path]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/readyz",
        "/healthz",
        "/openapi.json",
        "/docs",
        "/orders/../metrics",
        "/orders/%2e%2e/metrics",
        "/orders//../metrics",
        "/orders/..%2fmetrics",
        "/ordersmetrics",
    ],
)
async def test_what_services_tell_operators_stays_inside(
    client: httpx.AsyncClient, upstream: Upstream, path: str
) -> None:
    answer = await _raw_get(client, path)
    assert upstream.paths == []
    assert b"headers" not in answer


async def test_a_service_that_is_down_is_a_problem_to_come_back_to(client: httpx.AsyncClient) -> None:
    answer = await client.post("/payments", json={})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"].isdecimal()
    assert "server" not in answer.headers
    assert answer.json()["type"] == "/problems/service-unavailable"
    assert (await client.get("/catalog/products")).status_code == 200
    assert (await client.get("/")).status_code == 200


async def test_without_an_auditor_there_is_no_audit_to_be_had(client: httpx.AsyncClient, upstream: Upstream) -> None:
    answer = await client.get("/audit")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/service-unavailable")
    assert upstream.paths == []


async def test_a_services_own_refusal_passes_unchanged(client: httpx.AsyncClient) -> None:
    answer = await client.get("/orders/broken")
    assert (answer.status_code, answer.json()) == (503, {"type": "/problems/busy"})


async def test_events_arrive_one_by_one(client: httpx.AsyncClient, upstream: Upstream) -> None:
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, zstd"}
    async with client.stream("GET", "/orders/1/events", headers=headers) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "data: first"
        upstream.go_on.set()
        assert [line async for line in lines if line] == ["data: second"]


async def test_a_stream_ends_upstream_when_its_reader_leaves(client: httpx.AsyncClient, upstream: Upstream) -> None:
    async with client.stream("GET", "/orders/1/events") as answer:
        await anext(answer.aiter_lines())
        assert upstream.streams_open == 1
    await wait_until(lambda: upstream.streams_open == 0)


async def test_a_client_cannot_claim_an_address(client: httpx.AsyncClient) -> None:
    answer = await client.get("/orders/1", headers={"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Host": "evil.example"})
    headers = answer.json()["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert "evil.example" not in json.dumps(headers)


@pytest.mark.parametrize(
    ("trusted", "told"),
    [("127.0.0.0/8", "9.9.9.9, 127.0.0.1"), ("private_ranges", "9.9.9.9, 127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")],
)
async def test_behind_a_proxy_that_is_trusted_a_client_has_its_own_address(
    upstream: Upstream, tmp_path: Path, trusted: str, told: str
) -> None:
    async with (
        serving(upstream.app()) as port,
        edge({"ORDER": port}, tmp_path, EDGE_TRUSTED_PROXIES=trusted) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.get("/orders/1", headers={"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"})
    headers = answer.json()["headers"]
    assert headers["x-forwarded-for"] == told
    assert headers["x-forwarded-proto"] == ("https" if "9.9.9.9" in told else "http")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_far_beyond_64_kib_is_refused(client: httpx.AsyncClient, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * 16 * 1024

    fits = await client.post("/orders", content=b"x" * 64 * 1024)
    assert (fits.status_code, fits.json()["size"]) == (200, 64 * 1024)
    answer = await client.post("/orders", content=pieces() if chunked else b"x" * 128 * 1024)
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/too-large"


async def test_slow_senders_are_dropped_while_a_stream_goes_on(client: httpx.AsyncClient, upstream: Upstream) -> None:
    headers = b"GET / HTTP/1.1\r\nHost: shop\r\n"
    body = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n{"
    async with client.stream("GET", "/orders/1/events") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "data: first"
        await asyncio.gather(_is_dropped(client, headers), _is_dropped(client, body))
        upstream.go_on.set()
        assert [line async for line in lines if line] == ["data: second"]


async def test_pages_come_with_a_strict_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get("/my/orders")
    assert answer.text.startswith("<!doctype html>")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers


async def test_static_files_are_compressed_and_revalidated(client: httpx.AsyncClient) -> None:
    first = await client.get("/js/app.js", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/js/app.js", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


async def test_a_file_that_is_not_there_is_not_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/js/absent.js")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (404, "text/plain")


async def _raw_get(client: httpx.AsyncClient, path: str) -> bytes:
    """A GET whose path no client library has tidied."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def _is_dropped(client: httpx.AsyncClient, unfinished: bytes) -> None:
    """Send the beginning of a request and return when the edge has closed the connection."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        writer.write(unfinished)
        async with asyncio.timeout(20):
            await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
