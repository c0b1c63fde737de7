"""One trace for a whole order, through four services; what came twice and what failed can be seen in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from chassis.dead_letters import Selection
from chassis.retry import TRACEPARENT
from chassis.seedwork import DomainError, ErrorKind
from contracts.catalog import StockReserved
from contracts.order import OrderPlaced
from contracts.registry import SERVICES
from tests.shop.shop import PASSWORD, VISA, Shop, Visitor, open_shop
from tests.shop.stores import Urls
from tests.support.traces import Traces, attribute, parent_of, service_of, tree
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("templates", ["sqlite"], indirect=True)

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "tracing.md"
TRACE_ID: Final = 0x4BF92F3577B34DA6A3CE929D0E0E4736
CLIENT_SPAN: Final = 0x00F067AA0BA902B7
PLACED: Final = "process shop.events:order.placed.v1:catalog.inbox"


@pytest.fixture
def traces() -> Traces:
    return Traces(SERVICES)


@pytest.fixture
async def shop(shop_urls: Urls, traces: Traces) -> AsyncIterator[Shop]:
    async with open_shop(shop_urls, tracers=traces.tracers) as shop:
        await shop.stock(MOBY=5)
        yield shop


@pytest.fixture
async def anne(shop: Shop) -> Visitor:
    """A client that takes part in a trace of its own, as a browser or another service with OpenTelemetry does."""
    anne = await shop.register("anne")
    await shop.settled()
    anne.headers["traceparent"] = f"00-{TRACE_ID:032x}-{CLIENT_SPAN:016x}-01"
    return anne


async def buy(shop: Shop, anne: Visitor) -> str:
    """With a pause before paying until payment_svc knows the order, so that nothing is asked twice; and no looks."""
    order_id = await anne.place(MOBY=1)
    await shop.settled()
    assert (await anne.post("/payments", {"order_id": order_id, "payment_method": VISA})).status_code == 201
    await shop.settled()
    return order_id


async def test_an_order_is_one_trace_from_the_request_to_paid(shop: Shop, anne: Visitor, traces: Traces) -> None:
    order_id = await buy(shop, anne)
    assert "order.paid" in shop.types(order_id)
    spans = traces.spans(TRACE_ID)
    page = PAGE.read_text()
    assert f"```text\n{tree(spans)}```" in page, f"docs/tracing.md shows another tree than this:\n{tree(spans)}"
    roots = [span for span in spans if parent_of(span, spans) is None]
    assert {span.name for span in roots} == {"POST /orders", "POST /payments"}
    assert all(span.parent is not None and span.parent.span_id == CLIENT_SPAN for span in roots)


async def test_each_hop_is_the_child_of_the_one_that_caused_it(shop: Shop, anne: Visitor, traces: Traces) -> None:
    order_id = await buy(shop, anne)
    spans = traces.spans(TRACE_ID)
    for envelope in shop.events(order_id):
        [published] = [s for s in spans if _is(s, SpanKind.PRODUCER, str(envelope.id))]
        assert service_of(published) == envelope.source.strip("/")
        cause = parent_of(published, spans)
        assert cause is not None
        assert cause.kind in {SpanKind.SERVER, SpanKind.CONSUMER}
        assert service_of(cause) == service_of(published)
        if cause.kind is SpanKind.CONSUMER:
            assert attribute(cause, "messaging.message.id") == str(envelope.causationid)
        readers = [s for s in spans if _is(s, SpanKind.CONSUMER, str(envelope.id))]
        assert all(parent_of(reader, spans) is published for reader in readers)
        assert attribute(published, "messaging.message.conversation_id") == order_id
    calls = [span for span in spans if span.kind is SpanKind.CLIENT]
    causes = {call.name: getattr(parent_of(call, spans), "name", None) for call in calls}
    assert causes == {
        "authorize simulated_provider": "POST /payments",
        "capture simulated_provider": "process shop.events:order.confirmed.v1:payment.inbox",
    }


async def test_what_is_kept_follows_the_conventions_and_holds_nothing_personal(
    shop: Shop, anne: Visitor, traces: Traces
) -> None:
    await buy(shop, anne)
    token = anne.headers["Authorization"].split()[1]
    for span in traces.spans():
        kept = span.to_json()
        assert not any(secret in kept for secret in ("anne", "Anne", PASSWORD, token, VISA, "@"))
    [published] = traces.named("publish shop.events:order.placed.v1", "order")
    assert dict(published.attributes or {}).items() >= {
        ("messaging.system", "rabbitmq"),
        ("messaging.destination.name", "shop.events:order.placed.v1"),
        ("messaging.rabbitmq.destination.routing_key", "order.placed.v1"),
        ("messaging.operation.type", "send"),
        ("messaging.operation.name", "publish"),
        ("orderflow.result", "ack"),
    }
    [request] = traces.named("POST /orders", "order")
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/orders",
        "http.response.status_code": 201,
    }


async def test_without_a_trace_of_the_clients_each_request_begins_one(
    shop: Shop, anne: Visitor, traces: Traces
) -> None:
    del anne.headers["traceparent"]
    order_id = await anne.place(MOBY=1)
    await shop.settled()
    [request] = traces.named("POST /orders", "order")
    assert request.parent is None
    [held] = traces.named("publish shop.events:stock.reserved.v1", "catalog")
    assert held.context.trace_id == request.context.trace_id
    assert attribute(held, "messaging.message.conversation_id") == order_id


async def test_what_comes_twice_is_marked(shop: Shop, anne: Visitor, traces: Traces) -> None:
    await buy(shop, anne)
    [placed] = [m for m in shop.broker.journal if m.type == OrderPlaced.wire_name]
    shop.broker.publish(placed)
    await wait_until(lambda: len(traces.named(PLACED)) == 2)
    assert [attribute(span, "orderflow.result") for span in traces.named(PLACED)] == ["handled", "duplicate"]
    [published] = traces.named("publish shop.events:order.placed.v1")
    spans = traces.spans(TRACE_ID)
    assert [parent_of(span, spans) for span in traces.named(PLACED)] == [published, published]
    assert all(span.status.status_code is StatusCode.UNSET for span in traces.named(PLACED))
    assert len(traces.named("publish shop.events:stock.reserved.v1")) == 1


async def test_a_failing_handler_and_the_try_after_it(shop: Shop, anne: Visitor, traces: Traces) -> None:
    _fail_once(shop, "catalog", OrderPlaced, KeyError("anne@example.com"))
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")
    await shop.settled()
    spans = traces.spans(TRACE_ID)
    failed, handled = traces.named(PLACED)
    assert failed.status.status_code is StatusCode.ERROR
    assert attribute(failed, "error.type") == "KeyError"
    assert attribute(failed, "orderflow.result") == "retried"
    [event] = failed.events
    assert event.name == "exception"
    assert "anne" not in str(dict(event.attributes or {}))
    assert attribute(handled, "orderflow.result") == "handled"
    assert [attribute(span, "orderflow.attempt") for span in (failed, handled)] == [1, 2]
    [published] = traces.named("publish shop.events:order.placed.v1")
    assert parent_of(failed, spans) is parent_of(handled, spans) is published
    [held] = traces.named("publish shop.events:stock.reserved.v1")
    assert parent_of(held, spans) is handled


async def test_a_dead_letter_and_what_an_operator_makes_of_it(shop: Shop, anne: Visitor, traces: Traces) -> None:
    _fail_once(shop, "catalog", OrderPlaced, DomainError("broken", ErrorKind.INVALID, "It cannot be."))
    order_id = await anne.place(MOBY=1)
    await shop.settled()
    await shop.runtime("catalog").dead_letters.redrive(Selection(), uuid4())
    await anne.until(order_id, "awaiting_payment")
    await shop.settled()
    spans = traces.spans(TRACE_ID)
    dead, handled = traces.named(PLACED)
    assert [attribute(span, "orderflow.result") for span in (dead, handled)] == ["dead", "handled"]
    assert [attribute(span, "orderflow.redrives") for span in (dead, handled)] == [0, 1]
    assert (dead.status.status_code, dead.status.description) == (StatusCode.ERROR, "broken: It cannot be.")
    [published] = traces.named("publish shop.events:order.placed.v1")
    assert parent_of(dead, spans) is parent_of(handled, spans) is published


async def test_a_lost_header_leaves_the_trace_of_the_envelope(shop: Shop, anne: Visitor, traces: Traces) -> None:
    """As of a service without tracing, or a letter an operator published by hand."""
    await anne.place(MOBY=1)
    await shop.settled()
    [held] = [m for m in shop.broker.journal if m.type == StockReserved.wire_name]
    assert TRACEPARENT in held.headers
    shop.broker.publish(type(held)(held.exchange, held.routing_key, held.body, held.message_id, type=held.type))
    name = "process shop.events:stock.reserved.v1:order.inbox"
    await wait_until(lambda: len(traces.named(name)) == 2)
    again = traces.named(name)[-1]
    spans = traces.spans(TRACE_ID)
    cause = parent_of(again, spans)
    assert cause is not None
    assert cause.name == PLACED


def _is(span: ReadableSpan, kind: SpanKind, message_id: str) -> bool:
    return span.kind is kind and attribute(span, "messaging.message.id") == message_id


def _fail_once(shop: Shop, service: str, event_type: Any, error: Exception) -> None:
    """The handler does its work and then raises, the first time."""
    consumer = shop.runtime(service).consumer
    handler: Callable[[Any, Any], Awaitable[None]] = consumer._subscriptions[event_type]
    failures = [error]

    async def handle(event: Any, uow: Any) -> None:
        await handler(event, uow)
        if failures:
            raise failures.pop()

    consumer._subscriptions = {**consumer._subscriptions, event_type: handle}
