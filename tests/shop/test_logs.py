"""One order's lines in the logs of all services, found by its id."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from chassis.context import MessageContext
from chassis.jobs import InboxEvent
from chassis.logs import configure_logging
from contracts.order import OrderPlaced
from contracts.registry import typed
from tests.shop.shop import Shop

pytestmark = pytest.mark.parametrize("templates", ["sqlite"], indirect=True)

Lines = list[dict[str, str]]


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    configure_logging("shop", level="debug", style="json")
    structlog.configure(cache_logger_on_first_use=False)  # a cached one would outlive this test
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)


def about(order_id: str, captured: pytest.CaptureFixture[str]) -> Lines:
    lines = [json.loads(line) for line in captured.readouterr().out.splitlines()]
    return [line for line in lines if line.get("correlation_id") == order_id]


async def test_the_story_of_an_order_is_a_search_for_its_id(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.buy(MOBY=1)
    await shop.settled()

    lines = about(order_id, capsys)
    events = {str(envelope.id): envelope.type for envelope in shop.events(order_id)}
    published = {line["event_id"]: line["type"] for line in lines if line["event"] == "relay.published"}
    assert published == events
    assert OrderPlaced.wire_name in published.values()
    handled = [line for line in lines if line["event"] == "consumer.done"]
    assert {line["event_id"] for line in handled} <= events.keys()
    assert {line["type"] for line in handled} >= {"order.placed.v1", "stock.reserved.v1", "payment.captured.v1"}
    assert {line["result"] for line in handled} == {"handled"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


async def test_what_a_handler_says_has_the_order_and_the_event_it_handles(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await shop.settled()
    capsys.readouterr()

    runtime = shop.runtime("catalog")
    said = structlog.get_logger()
    [placed] = [envelope for envelope in shop.events(order_id) if envelope.type == OrderPlaced.wire_name]

    async def speaking(_event: object, _uow: object) -> None:
        said.info("handler.spoke")

    context = MessageContext(placed.correlationid, runtime.ids.new())
    await runtime.writer.handle(InboxEvent(runtime.ids.new(), typed(placed)), speaking, context)
    [line] = [line for line in about(order_id, capsys) if line["event"] == "handler.spoke"]
    assert line["causation_id"] == str(context.causation_id)
