"""order_svc between its two doors: what HTTP asks and what the other services tell, on a real store."""

import asyncio
import json
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from contracts.catalog import ProductRetired, Shortage, StockCommitted, StockRejected
from contracts.envelope import Event
from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaid, OrderPaymentRequested, OrderPlaced
from contracts.payment import PaymentDeclined, PaymentRefunded
from contracts.registry import SERVICES
from order_svc.app import build
from order_svc.settings import OrderSettings
from order_svc.store import timeline
from tests.order_svc.builders import a_product, authorized, captured, get_order, place, post_order, reserved
from tests.support.harness import Harness, running
from tests.support.waiting import wait_until


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


async def test_an_order_goes_from_placed_to_paid(orders: Harness) -> None:
    user_id, payment_id = uuid4(), uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id, quantity=2)
    assert order["status"] == "pending"
    assert order["total"] == {"amount": 2500, "currency": "EUR"}

    await orders.send(reserved(order))
    waiting = await get_order(orders, user_id, order["id"])
    assert (waiting["status"], waiting["actions"]) == ("awaiting_payment", ["pay", "cancel"])
    assert waiting["pay_by"]

    await orders.send(authorized(order, payment_id))
    await orders.send(captured(order, payment_id))
    paid = await get_order(orders, user_id, order["id"])
    assert (paid["status"], paid["payment_id"]) == ("paid", str(payment_id))
    assert kinds(orders.outgoing()) == [OrderPlaced, OrderPaymentRequested, OrderConfirmed, OrderPaid]

    steps = (await orders.http.get(f"/orders/{order['id']}/timeline", headers=orders.as_user(user_id))).json()["items"]
    assert [(step["seq"], step["service"], step["status"]) for step in steps] == [
        (1, "order", "pending"),
        (2, "catalog", "awaiting_payment"),
        (3, "payment", "confirmed"),
        (4, "payment", "paid"),
    ]


async def test_every_event_of_an_order_belongs_to_its_conversation(orders: Harness) -> None:
    await orders.send(a_product())
    order = await place(orders, uuid4())
    await orders.send(reserved(order))
    ours = [envelope for envelope in orders.envelopes() if envelope.source == "/order"]
    assert {str(envelope.correlationid) for envelope in ours} == {order["id"]}
    assert [envelope.aggregateversion for envelope in ours] == [1, 2]
    theirs = next(envelope for envelope in orders.envelopes() if envelope.type == "stock.reserved.v1")
    assert ours[1].causationid == theirs.id


async def test_a_shortage_rejects_the_order(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id, quantity=3)
    shortage = Shortage(sku="BOOK-1", requested=3, available=1)
    await orders.send(StockRejected(order_id=order["id"], shortages=[shortage]))
    after = await get_order(orders, user_id, order["id"])
    assert (after["status"], after["status_reason"], after["actions"]) == ("rejected", "out_of_stock", [])


async def test_a_declined_payment_leaves_the_order_payable(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    await orders.send(reserved(order))
    declined = PaymentDeclined(
        payment_id=uuid4(), order_id=order["id"], amount=Money(**order["total"]), code="card_declined"
    )
    await orders.send(declined)
    assert (await get_order(orders, user_id, order["id"]))["status"] == "awaiting_payment"
    await orders.send(authorized(order, uuid4()))
    assert (await get_order(orders, user_id, order["id"]))["status"] == "confirmed"


async def test_cancelling_before_payment_is_free_and_repeatable(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    for _ in range(2):
        answer = await orders.http.post(f"/orders/{order['id']}/cancel", headers=orders.as_user(user_id))
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    await orders.settled()
    assert [event for event in orders.outgoing() if isinstance(event, OrderCancelled)] == [
        OrderCancelled(order_id=UUID(order["id"]), reason="customer", refund=False)
    ]


async def test_cancelling_after_payment_brings_the_money_back(orders: Harness) -> None:
    user_id, payment_id = uuid4(), uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    for event in (reserved(order), authorized(order, payment_id), captured(order, payment_id)):
        await orders.send(event)
    answer = await orders.http.post(f"/orders/{order['id']}/cancel", headers=orders.as_user(user_id))
    assert answer.json()["status"] == "refunding"
    money = Money(**order["total"])
    await orders.send(
        PaymentRefunded(payment_id=payment_id, order_id=order["id"], refund_id=uuid4(), amount=money, total=money)
    )
    after = await get_order(orders, user_id, order["id"])
    assert (after["status"], after["refunded"]) == ("refunded", order["total"])


async def test_an_order_nobody_pays_is_cancelled_by_its_deadline(store_url: str) -> None:
    settings = OrderSettings(database_url=store_url, sweep_seconds=0.02, payment_timeout_seconds=0.01)
    user_id = uuid4()
    async with running("order_svc", build, settings) as orders:
        await orders.send(a_product())
        order = await place(orders, user_id)
        await orders.send(reserved(order))

        async def cancelled() -> bool:
            return bool((await get_order(orders, user_id, order["id"]))["status"] == "cancelled")

        await wait_until(cancelled)
        assert (await get_order(orders, user_id, order["id"]))["status_reason"] == "payment_timeout"


async def test_fulfilment_is_the_operators(orders: Harness) -> None:
    user_id, payment_id = uuid4(), uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    path = f"/orders/{order['id']}/fulfil"
    assert (await orders.http.post(path, headers=orders.as_user(user_id))).status_code == 403
    early = await orders.http.post(path, headers=orders.as_operator())
    assert (early.status_code, early.json()["type"]) == (409, "/problems/illegal-transition")
    for event in (reserved(order), authorized(order, payment_id), captured(order, payment_id)):
        await orders.send(event)
    for _ in range(2):
        assert (await orders.http.post(path, headers=orders.as_operator())).json()["status"] == "fulfilled"


async def test_duplicates_and_any_order_of_facts_end_the_same(orders: Harness) -> None:
    """After the stock is held: the authorisation, the capture and the sale, in every order, each twice."""
    await orders.send(a_product())
    outcomes: set[str] = set()
    for sequence in permutations(range(3)):
        user_id, payment_id = uuid4(), uuid4()
        order = await place(orders, user_id)
        await orders.send(reserved(order))
        facts: list[Event] = [
            authorized(order, payment_id),
            captured(order, payment_id),
            StockCommitted(order_id=order["id"], lines=[]),
        ]
        for index in sequence:
            same_id = uuid4()
            await orders.send(facts[index], id=same_id)
            await orders.send(facts[index], id=same_id)
            await orders.send(facts[index])
        after = await get_order(orders, user_id, order["id"])
        outcomes.add(f"{after['status']} {after['payment_id'] == str(payment_id)}")
    assert outcomes == {"paid True"}
    assert not orders.dead_letters()


async def test_the_projection_keeps_the_newest_version_of_a_product(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product(amount=900, version=3))
    await orders.send(a_product(amount=100, version=2))
    assert (await place(orders, user_id))["total"]["amount"] == 900
    retired = ProductRetired(
        sku="BOOK-1", title="x", category="Novels", price=Money(amount=900, currency="EUR"), version=4
    )
    await orders.send(retired)
    await orders.send(a_product(amount=900, version=3))
    answer = await post_order(orders, user_id, {"lines": [{"sku": "BOOK-1", "quantity": 1}]})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-product")


async def test_placing_twice_with_one_key_places_once(orders: Harness) -> None:
    user_id, body = uuid4(), {"lines": [{"sku": "BOOK-1", "quantity": 1}]}
    await orders.send(a_product())
    answers = await asyncio.gather(*(post_order(orders, user_id, body, key="once") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    other = await post_order(orders, user_id, {"lines": [{"sku": "BOOK-1", "quantity": 2}]}, key="once")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    await orders.settled()
    assert kinds(orders.outgoing()) == [OrderPlaced]


async def test_a_price_the_customer_did_not_see_is_not_charged(orders: Harness) -> None:
    await orders.send(a_product(amount=1300))
    body: dict[str, Any] = {
        "lines": [{"sku": "BOOK-1", "quantity": 1}],
        "expected_total": {"amount": 1250, "currency": "EUR"},
    }
    refused = await post_order(orders, uuid4(), body)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/price-changed")
    body["expected_total"]["amount"] = 1300
    assert (await post_order(orders, uuid4(), body)).status_code == 201


async def test_a_long_poll_answers_as_soon_as_the_status_is_there(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    url = f"/orders/{order['id']}?wait=20&until=awaiting_payment"
    poll = asyncio.create_task(orders.http.get(url, headers=orders.as_user(user_id)))
    await orders.send(reserved(order))
    answer = await asyncio.wait_for(poll, 10)
    assert answer.json()["status"] == "awaiting_payment"


async def test_a_long_poll_for_a_status_gone_by_answers_at_once(orders: Harness) -> None:
    user_id, payment_id = uuid4(), uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    for event in (reserved(order), authorized(order, payment_id), captured(order, payment_id)):
        await orders.send(event)
    url = f"/orders/{order['id']}?wait=30&until=awaiting_payment"
    answer = await asyncio.wait_for(orders.http.get(url, headers=orders.as_user(user_id)), 15)
    assert answer.json()["status"] == "paid"


async def test_the_event_stream_tells_the_whole_story_and_resumes_where_it_broke_off(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    await orders.send(reserved(order))
    await orders.http.post(f"/orders/{order['id']}/cancel", headers=orders.as_user(user_id))

    async def read(last_id: str | None = None) -> list[tuple[str, str]]:
        headers = orders.as_user(user_id) | ({"Last-Event-ID": last_id} if last_id else {})
        text = (await orders.http.get(f"/orders/{order['id']}/events", headers=headers)).text
        blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("id:")]
        return [(lines[0], json.loads(lines[2].removeprefix("data: "))["status"]) for lines in blocks]

    assert await read() == [("id: 1", "pending"), ("id: 2", "awaiting_payment"), ("id: 3", "cancelled")]
    assert await read("2") == [("id: 3", "cancelled")]


async def test_streams_are_few_per_user_and_their_places_come_back(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    order = await place(orders, user_id)
    url, headers = f"/orders/{order['id']}/events", orders.as_user(user_id)
    reading = [asyncio.create_task(orders.http.get(url, headers=headers)) for _ in range(3)]
    await wait_until(lambda: orders.app.state.context.streams.open[user_id] == 3)
    refused = await orders.http.get(url, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-streams")
    await orders.http.post(f"/orders/{order['id']}/cancel", headers=headers)
    await asyncio.gather(*reading)
    assert (await orders.http.get(url, headers=headers)).status_code == 200


async def test_lists_are_paged_newest_first_and_by_status(orders: Harness) -> None:
    user_id = uuid4()
    await orders.send(a_product())
    placed = [(await place(orders, user_id))["id"] for _ in range(5)]
    await place(orders, uuid4())
    headers = orders.as_user(user_id)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await orders.http.get(f"/orders?limit=2{cursor}", headers=headers)).json()
        seen += [order["id"] for order in page["items"]]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(placed)
    assert seen == sorted(seen, reverse=True)
    assert (await orders.http.get("/orders?status=paid", headers=headers)).json()["items"] == []
    assert len((await orders.http.get("/orders", headers=orders.as_operator())).json()["items"]) == 6


async def test_timelines_have_no_gaps(orders: Harness) -> None:
    await orders.send(a_product())
    order = await place(orders, uuid4())
    await asyncio.gather(*(orders.send(reserved(order)) for _ in range(5)))
    rows = await orders.runtime.reader.all(sa.select(timeline.c.seq).order_by(timeline.c.seq))
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))


def test_the_subscriptions_are_what_the_contract_says(orders: Harness) -> None:
    assert set(orders.runtime.definition.subscriptions) == set(SERVICES["order"].reads)


@pytest.mark.parametrize("path", ["", "/timeline", "/events"])
async def test_another_users_order_looks_like_none(orders: Harness, path: str) -> None:
    await orders.send(a_product())
    order = await place(orders, uuid4())
    stranger = orders.as_user()
    foreign = await orders.http.get(f"/orders/{order['id']}{path}", headers=stranger)
    unknown = await orders.http.get(f"/orders/{uuid4()}{path}", headers=stranger)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["type"] == unknown.json()["type"] == "/problems/not-found"
    cancel = await orders.http.post(f"/orders/{order['id']}/cancel", headers=stranger)
    assert cancel.status_code == 404
