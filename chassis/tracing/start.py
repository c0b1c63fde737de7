"""The tracer the settings ask for. Nothing of OpenTelemetry is imported unless they ask for it."""

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from chassis.settings import ServiceSettings
from chassis.tracing.port import Tracer

NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
INSTALL: Final = "pip install --require-hashes -r requirements-otel.txt"


class TracingPackagesMissingError(Exception):
    """Traces are on and what exports them is not installed; the message says what to do."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"TRACES=otlp needs {missing}, which is not installed: {INSTALL} (or TRACES=off)")


def tracer_for(settings: ServiceSettings, *, broker: str = "rabbitmq") -> Tracer:
    """The deaf one, or one that exports to where OTEL_EXPORTER_OTLP_ENDPOINT says. `broker` is the `messaging.system`.

    Raises:
        TracingPackagesMissingError: traces are on and requirements-otel.txt is not installed.
    """
    if settings.traces == "off":
        return Tracer()
    for name in NEEDED:
        if not _installed(name):
            raise TracingPackagesMissingError(name)
    otel = import_module("chassis.tracing.otel")
    tracer: Tracer = otel.exporting(os.environ.get("OTEL_SERVICE_NAME") or settings.service, broker=broker)
    return tracer


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # one of its parents is missing
        return False
