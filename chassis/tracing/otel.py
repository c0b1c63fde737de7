"""The tracer that exports: spans by OpenTelemetry's conventions for HTTP and for messaging with RabbitMQ.

Parents come with the work, by `traceparent`, and never from OpenTelemetry's ambient context: a span's child may begin
in another process, or minutes later. Attributes are ids, names and numbers of ours; nothing a person or a client wrote.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from types import TracebackType
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from pydantic_core import from_json

from chassis.context import current_context
from chassis.retry import TRACEPARENT, attempt_of, describe, original_routing_key, redrives_of
from chassis.topology import EVENTS
from chassis.tracing.port import Send, Span, Tracer
from chassis.transport import Delivery, Outcome, OutgoingMessage, PublishResult
from contracts.envelope import MAX_EVENT_BYTES
from contracts.registry import EVENT_TYPES

log = structlog.get_logger()

CLOSE_SECONDS: Final = 3.0
NOT_TRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_DEAF: Final = Span()


def exporting(service_name: str, *, broker: str) -> "OtelTracer":
    """A tracer that sends spans in batches, from a thread of its own, to an OTLP endpoint over HTTP.

    Endpoint, headers, sampler, batches and more resource attributes are OpenTelemetry's own `OTEL_…` variables.
    """
    resource = Resource.create({"service.name": service_name, "service.namespace": "orderflow"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTracer(provider, broker=broker)


class OtelTracer(Tracer):
    """Makes spans of `provider`, which it owns. `broker` is the value of `messaging.system`."""

    def __init__(self, provider: TracerProvider, *, broker: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("orderflow")
        self._broker = broker

    def request(self, method: str, path: str, traceparent: str | None) -> Span:
        if path in NOT_TRACED:
            return _DEAF
        method = method if method in METHODS else "_OTHER"
        return _OtelSpan(self._start(method, SpanKind.SERVER, traceparent, {"http.request.method": method}), method)

    async def publish(self, messages: Sequence[OutgoingMessage], send: Send) -> list[PublishResult]:
        spans = [self._publishing(message) for message in messages]
        try:
            results = await send([_with_context(m, span) for m, span in zip(messages, spans, strict=True)])
            for span, result in zip(spans, results, strict=True):
                span.settled(result.outcome.value)
                if result.outcome is not Outcome.ACK:
                    span.failed(result.outcome.value)
            return results
        except BaseException as error:
            for span in spans:
                span.failed(error)
            raise
        finally:
            for span in spans:
                span.__exit__(None, None, None)

    def delivery(self, queue: str, delivery: Delivery) -> Span:
        kind = _known(original_routing_key(delivery))
        attributes: dict[str, AttributeValue] = {
            **self._message(kind, f"{EVENTS}:{kind}:{queue}", "process"),
            "messaging.message.id": (delivery.message_id or "")[:80],
            "messaging.message.conversation_id": (delivery.correlation_id or "")[:80],
            "messaging.message.body.size": len(delivery.body),
            "orderflow.redelivered": delivery.redelivered,
            "orderflow.attempt": attempt_of(delivery) + 1,
            "orderflow.redrives": redrives_of(delivery),
        }
        parent = delivery.headers.get(TRACEPARENT) or _written_in(delivery.body)
        return _OtelSpan(self._start(f"process {EVENTS}:{kind}:{queue}", SpanKind.CONSUMER, parent, attributes))

    def call(self, peer: str, operation: str) -> Span:
        context = current_context()
        attributes: dict[str, AttributeValue] = {"peer.service": peer, "orderflow.operation": operation}
        if context is not None:
            attributes["orderflow.correlation_id"] = str(context.correlation_id)
        parent = context.traceparent if context else None
        return _OtelSpan(self._start(f"{operation} {peer}", SpanKind.CLIENT, parent, attributes))

    async def close(self) -> None:
        """In a thread that nobody waits for at the end of the process: the collector may be gone."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def send_the_rest() -> None:
            try:
                self._provider.shutdown()
            finally:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(done.set)

        Thread(target=send_the_rest, name="tracing:close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("tracing.last_spans_lost", seconds=CLOSE_SECONDS)

    def _publishing(self, message: OutgoingMessage) -> "_OtelSpan":
        kind = _known(message.type)
        attributes: dict[str, AttributeValue] = {
            **self._message(kind, f"{message.exchange}:{kind}", "send"),
            "messaging.message.id": message.message_id,
            "messaging.message.conversation_id": message.correlation_id,
            "messaging.message.body.size": len(message.body),
        }
        parent = _written_in(message.body)
        return _OtelSpan(self._start(f"publish {message.exchange}:{kind}", SpanKind.PRODUCER, parent, attributes))

    def _message(self, kind: str, destination: str, operation: str) -> dict[str, AttributeValue]:
        return {
            "messaging.system": self._broker,
            "messaging.destination.name": destination,
            "messaging.rabbitmq.destination.routing_key": kind,
            "messaging.operation.type": operation,
            "messaging.operation.name": "publish" if operation == "send" else operation,
        }

    def _start(self, name: str, kind: SpanKind, parent: object, attributes: dict[str, AttributeValue]) -> trace.Span:
        return self._tracer.start_span(name, _context(parent), kind, attributes)


class _OtelSpan(Span):
    """`method` is that of a request."""

    def __init__(self, span: trace.Span, method: str = "") -> None:
        self._span = span
        self._method = method

    def carry(self, traceparent: str | None) -> str | None:
        context = self._span.get_span_context()
        if not context.is_valid:  # OTEL_SDK_DISABLED
            return traceparent
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def answered(self, route: str, status: int) -> None:
        if route.startswith("/"):  # a path that no route takes has no name
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", str(status))

    def settled(self, result: str) -> None:
        self._span.set_attribute("orderflow.result", result)

    def failed(self, error: BaseException | str) -> None:
        kind = error if isinstance(error, str) else type(error).__name__
        text = describe(error) if isinstance(error, Exception) else kind
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, text))
        if not isinstance(error, str):
            self._span.add_event("exception", {"exception.type": kind, "exception.message": text})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is not None:
            self.failed(error)
        self._span.end()


def _with_context(message: OutgoingMessage, span: Span) -> OutgoingMessage:
    """The body stays as it was stored; the span's own context travels beside it."""
    traceparent = span.carry(None)
    return replace(message, headers={**message.headers, TRACEPARENT: traceparent}) if traceparent else message


def _context(traceparent: object) -> Context:
    """What `traceparent` stands for; an empty one, and so a new trace, for anything that is none."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if found is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    remote = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _written_in(body: bytes) -> object:
    """The `traceparent` of the envelope in `body`, if it is one and has it."""
    if len(body) > MAX_EVENT_BYTES:
        return None
    try:
        document = from_json(body)
    except ValueError:
        return None
    return document.get("traceparent") if isinstance(document, dict) else None


def _known(event_type: str) -> str:
    """Names stay few, whatever somebody put on the bus."""
    return event_type if event_type in EVENT_TYPES else "unknown"
