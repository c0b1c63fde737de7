"""Traces are off unless asked for, complain when they cannot be had, and arrive where they are sent."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chassis.context import MessageContext, enter_context, leave_context
from chassis.migrate import migrate
from chassis.retry import TRACEPARENT
from chassis.tracing import Tracer
from chassis.tracing.otel import exporting
from chassis.tracing.start import tracer_for
from chassis.transport import Delivery, Outcome, OutgoingMessage, PublishResult
from contracts.order import OrderPlaced
from order_svc.settings import OrderSettings
from tests.support.traces import Traces, attribute

ROOT = Path(__file__).resolve().parents[2]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

OFF = """
import sys
import fastapi
before = set(sys.modules)
import chassis.host, order_svc.app, payment_svc.app, catalog_svc.app, auth_svc.app
from chassis.main import real_environment
from order_svc.settings import OrderSettings
order_svc.app.build(OrderSettings(), real_environment(OrderSettings()))
print([name for name in set(sys.modules) - before if name.startswith(("opentelemetry", "google.protobuf"))])
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
print("chassis.tracing.otel" in sys.modules)
"""
WITHOUT_THE_PACKAGES = """
import runpy, sys
sys.modules["opentelemetry.sdk"] = None
sys.argv = ["order_svc", "serve"]
runpy.run_module("order_svc", run_name="__main__")
"""


def run(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_off_imports_nothing_of_opentelemetry_that_fastapi_does_not() -> None:
    done = run(OFF, TRACES="off", ORDER_DATABASE_URL="sqlite+aiosqlite:///:memory:")
    assert done.stdout.split("\n") == ["[]", "[]", "False", ""], done.stdout + done.stderr


def test_on_without_the_packages_says_what_to_install(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'order.db'}"
    migrate("order_svc", url)
    done = run(WITHOUT_THE_PACKAGES, TRACES="otlp", ORDER_DATABASE_URL=url)
    assert done.returncode == 2
    assert "pip install --require-hashes -r requirements-otel.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_off_is_the_default_and_one_service_can_be_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACES", raising=False)
    assert type(tracer_for(OrderSettings())) is Tracer
    monkeypatch.setenv("ORDER_TRACES", "otlp")
    assert type(tracer_for(OrderSettings())) is not Tracer


async def test_spans_arrive_at_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []
    with collector(received) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        tracer = exporting("order", broker="rabbitmq")
        with tracer.request("GET", "/orders", PARENT) as span:
            span.answered("/orders", 200)
        await asyncio.wait_for(tracer.close(), 30)
    request = ExportTraceServiceRequest.FromString(b"".join(received))
    [resource] = request.resource_spans
    told = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert told["service.name"] == "order"
    [sent] = resource.scope_spans[0].spans
    assert (sent.name, sent.trace_id.hex(), sent.parent_span_id.hex()) == ("GET /orders", *PARENT.split("-")[1:3])


def test_what_is_no_trace_context_begins_a_new_trace() -> None:
    traces = Traces(["order"])
    for given in (None, "", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", PARENT.replace("00-", "ff-", 1)):
        with traces.tracers["order"].request("GET", "/orders", given) as span:
            assert span.carry(given) not in (None, given)
    assert [span.parent for span in traces.spans()] == [None] * 5


def test_a_client_that_is_not_sampled_is_not_recorded_but_handed_on() -> None:
    traces = Traces(["order"])
    with traces.tracers["order"].request("GET", "/orders", PARENT[:-2] + "00") as span:
        carried = span.carry(None)
    assert carried is not None
    assert carried.split("-")[1] == PARENT.split("-")[1]
    assert carried.endswith("-00")
    assert traces.spans() == []


def test_names_stay_few_whatever_comes() -> None:
    traces = Traces(["order"])
    tracer = traces.tracers["order"]
    with tracer.request("BREW", "/no/such/path", None) as request:
        request.answered("(none)", 405)
    with tracer.delivery("order.inbox", Delivery(b"\xff", type="x" * 99, routing_key="y" * 99)):
        pass
    with tracer.request("GET", "/readyz", None):
        pass
    assert [span.name for span in traces.spans()] == ["_OTHER", "process shop.events:unknown:order.inbox"]


async def test_what_the_broker_did_not_confirm_is_an_error_of_the_publish() -> None:
    traces = Traces(["order"])
    answers = [PublishResult(Outcome.ACK), PublishResult(Outcome.UNKNOWN, "not connected")]
    sent: list[OutgoingMessage] = []

    async def send(messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        sent.extend(messages)
        return answers

    async def break_down(messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        raise OSError("no disk")

    messages = [OutgoingMessage("shop.events", "k", b"{}", str(n), type=OrderPlaced.wire_name) for n in range(2)]
    tracer = traces.tracers["order"]
    assert await tracer.publish(messages, send) == answers
    with pytest.raises(OSError, match="no disk"):
        await tracer.publish(messages, break_down)
    spans = traces.spans()
    assert [span.status.is_ok for span in spans] == [True, False, False, False]
    assert [attribute(span, "orderflow.result") for span in spans] == ["ack", "unknown", None, None]
    assert [attribute(span, "error.type") for span in spans] == [None, "unknown", "OSError", "OSError"]
    for message, span in zip(sent, spans, strict=False):
        assert str(message.headers[TRACEPARENT]).split("-")[2] == f"{span.context.span_id:016x}"


def test_an_exception_that_leaves_a_span_is_its_error_without_its_text() -> None:
    traces = Traces(["payment"])
    enter_context(MessageContext(uuid4(), None, PARENT))
    try:
        with pytest.raises(ValueError, match="secret"), traces.tracers["payment"].call("some_provider", "capture"):
            raise ValueError("secret")
    finally:
        leave_context()
    [span] = traces.spans()
    assert not span.status.is_ok
    assert attribute(span, "error.type") == "ValueError"
    assert "secret" not in span.to_json()
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]


@contextmanager
def collector(received: list[bytes]) -> Iterator[str]:
    """An OTLP endpoint that keeps what it is sent; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
