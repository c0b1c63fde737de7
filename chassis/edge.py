"""What every request and answer goes through, as plain ASGI: request id, limits, headers, metrics, the last catch."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.context import MessageContext, enter_context
from chassis.fields import canonical_uuid
from chassis.ids import Ids
from chassis.problems import internal_error, problem_response
from chassis.telemetry import Metrics
from chassis.tracing import Span, Tracer

log = structlog.get_logger("http")

MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 64
MAX_PATH_BYTES: Final = 4 * 1024
UNROUTED: Final = "(none)"

_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SET: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class EdgeMiddleware:
    """The outermost layer of a service's app; nothing raises through it."""

    def __init__(
        self, app: ASGIApp, *, ids: Ids, metrics: Metrics, tracer: Tracer | None = None, hsts: bool = False
    ) -> None:
        self._app = app
        self._ids = ids
        self._metrics = metrics
        self._tracer = tracer or Tracer()
        self._always = (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000")) if hsts else _ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, traceparent = self._brought(scope)
        with self._tracer.request(scope["method"], scope["path"], traceparent) as span:
            enter_context(MessageContext(request_id, request_id, span.carry(traceparent)))
            await self._answer(scope, receive, send, request_id, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: UUID, span: Span) -> None:
        started = time.perf_counter()
        answer = _Answer(send, request_id, self._always, head=scope["method"] == "HEAD")
        if answer.head:
            scope = {**scope, "method": "GET"}
        try:
            refusal = _oversized(scope)
            await (refusal or self._app)(scope, receive, answer.send)
        except Exception as error:
            log.exception("http.unexpected_error", method=scope["method"], route=_route(scope), request_id=request_id)
            span.failed(error)
            if answer.status == 0:
                await internal_error(request_id)(scope, receive, answer.send)
        span.answered(_route(scope), answer.status)
        seconds = time.perf_counter() - started
        self._metrics.request(_route(scope), scope["method"], answer.status, seconds)
        log.debug("http.answered", method=scope["method"], route=_route(scope), status=answer.status, seconds=seconds)

    def _brought(self, scope: Scope) -> tuple[UUID, str | None]:
        """The request's id (the client's, if it is a UUID), and the trace it is part of."""
        given = traceparent = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
            elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
                traceparent = value.decode()
        return _as_uuid(given) or self._ids.new(), traceparent


class _Answer:
    """Passes an answer on with the headers every answer has; to HEAD without its body."""

    def __init__(self, send: Send, request_id: UUID, always: tuple[tuple[bytes, bytes], ...], *, head: bool) -> None:
        self._send = send
        self._id_header = (b"x-request-id", str(request_id).encode())
        self._always = always
        self.head = head
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = message.setdefault("headers", [])
            present = {name for name, _ in headers}
            headers.extend(self._always)
            headers.append(self._id_header)
            headers.extend(header for header in _UNLESS_SET if header[0] not in present)
            await self._send(message)
            if self.head:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self.head:
            await self._send(message)


def _as_uuid(value: bytes | None) -> UUID | None:
    if value is None:
        return None
    try:
        return UUID(canonical_uuid(value.decode("latin-1")))
    except ValueError:
        return None


def _oversized(scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[None]] | None:
    """The HTTP parser takes headers of any size, so they are weighed here."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    close = {"Connection": "close"}
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return problem_response(431, "headers-too-large", headers=close)
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > MAX_PATH_BYTES:
        return problem_response(414, "uri-too-long", headers=close)
    return None


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    path: str = getattr(route, "path", UNROUTED)
    return path
