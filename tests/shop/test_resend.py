"""An event that a reader never got, because the broker had no binding for it, is named by the audit and sent again."""

from uuid import UUID, uuid4

import pytest

from chassis.topology import Topology, inbox_queue, shop_topology
from contracts.order import OrderPlaced
from ops.audit import Check, Finding, audit
from tests.shop.shop import Shop


def without_catalogs_binding() -> Topology:
    whole = shop_topology()
    lost = (inbox_queue("catalog"), OrderPlaced.wire_name)
    kept = tuple(b for b in whole.bindings if (b.queue, b.routing_key) != lost)
    return Topology(whole.exchanges, whole.queues, kept)


async def lost_events(shop: Shop) -> list[Finding]:
    report = await audit(await shop.source(), pause=0.05)
    return [finding for finding in report.breaches if finding.sent_by is not None]


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
async def test_what_a_reader_missed_is_named_and_can_be_sent_again(shop: Shop) -> None:
    operator, reader = await shop.operator(), await shop.register("reader")
    await shop.stock(BOOK=5)
    shop.broker.rewire(without_catalogs_binding())
    order_id = await reader.place(BOOK=1)
    await shop.settled()
    shop.broker.rewire(shop_topology())
    [lost] = await lost_events(shop)
    assert (lost.check, lost.sent_by, order_id in lost.ids) == (Check.MESSAGES, "order", True)
    unknown = str(uuid4())
    for _ in range(2):  # twice is harmless
        answer = await operator.post("/orders/outbox/resend", {"ids": [lost.ids[0], unknown]})
        assert {item["event_id"]: item["outcome"] for item in answer.json()["items"]} == {
            lost.ids[0]: "resent",
            unknown: "not_found",
        }
        await shop.settled()
    await reader.until(order_id, "awaiting_payment")
    await reader.pay(order_id)
    await reader.until(order_id, "paid")
    await shop.audit()
    assert await shop.shelf() == {"BOOK": (4, 0, 1)}
    held = [envelope for envelope in shop.events(order_id) if envelope.type == "stock.reserved.v1"]
    assert len(held) == 1, "what came twice took effect once"


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
async def test_only_operators_send_again(shop: Shop) -> None:
    reader = await shop.register("reader")
    body = {"ids": [str(UUID(int=7))]}
    assert (await reader.post("/orders/outbox/resend", body)).status_code == 403
    assert (await shop.request("POST", "/orders/outbox/resend", json=body)).status_code == 401
    operator = await shop.operator()
    assert (await operator.post("/orders/outbox/resend", {"ids": []})).status_code == 422
