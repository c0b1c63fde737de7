"""Traces: a port the chassis tells its work to, deaf by default, and an adapter that exports it with OpenTelemetry."""

from chassis.tracing.port import Span, Tracer

__all__ = ["Span", "Tracer"]
