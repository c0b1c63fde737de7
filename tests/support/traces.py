"""Spans kept in memory, and how a test reads them."""

from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.tracing.otel import OtelTracer


class Traces:
    """What several services, each with a tracer of its own, told of themselves."""

    def __init__(self, services: Iterable[str]) -> None:
        self._kept = InMemorySpanExporter()
        self.tracers: Mapping[str, OtelTracer] = {service: self._tracer(service) for service in services}

    def spans(self, trace_id: int | None = None) -> list[ReadableSpan]:
        """The ended spans, of one trace or of all."""
        found = self._kept.get_finished_spans()
        return [span for span in found if trace_id is None or span.context.trace_id == trace_id]

    def named(self, name: str, service: str | None = None) -> list[ReadableSpan]:
        return [s for s in self.spans() if s.name == name and service in (None, service_of(s))]

    def _tracer(self, service: str) -> OtelTracer:
        provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        return OtelTracer(provider, broker="rabbitmq")


def service_of(span: ReadableSpan) -> str:
    return str(span.resource.attributes["service.name"])


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def parent_of(span: ReadableSpan, spans: Iterable[ReadableSpan]) -> ReadableSpan | None:
    """Its parent among `spans`."""
    wanted = span.parent.span_id if span.parent else None
    return next((other for other in spans if other.context.span_id == wanted), None)


def tree(spans: Sequence[ReadableSpan]) -> str:
    """One line per span below its parent's; siblings by service and name, so that it is the same each time."""
    return "\n".join(_lines(None, spans, 0)) + "\n"


def _lines(parent: ReadableSpan | None, spans: Sequence[ReadableSpan], depth: int) -> list[str]:
    children = [span for span in spans if parent_of(span, spans) is parent]
    lines: list[str] = []
    for span in sorted(children, key=lambda s: (service_of(s), s.name, s.start_time or 0)):
        result = attribute(span, "orderflow.result") or attribute(span, "http.response.status_code")
        lines.append(f"{'  ' * depth}{service_of(span)}: {span.name} → {result}")
        lines += _lines(span, spans, depth + 1)
    return lines
