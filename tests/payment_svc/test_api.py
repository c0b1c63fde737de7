"""The service through its door, on a running instance: what clients see, and what order_svc is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from tests.support.harness import Harness
from tests.support.waiting import wait_until

PRICE = Money(amount=1999, currency="EUR")


async def a_payable(
    shop: Harness, user_id: UUID, *, minutes: int = 15, amount: Money = PRICE, order_id: UUID | None = None
) -> UUID:
    order_id = order_id or uuid4()
    pay_by = datetime.now(UTC) + timedelta(minutes=minutes)
    await shop.send(OrderPaymentRequested(order_id=order_id, user_id=user_id, amount=amount, pay_by=pay_by))
    return order_id


async def pay(
    shop: Harness, user_id: UUID, order_id: UUID, method: str = "pm_card_visa", key: str = ""
) -> httpx.Response:
    headers = {**shop.as_user(user_id), "Idempotency-Key": key or str(uuid4())}
    body = {"order_id": str(order_id), "payment_method": method}
    return await shop.http.post("/payments", json=body, headers=headers)


async def a_captured(shop: Harness, user_id: UUID) -> dict[str, Any]:
    order_id = await a_payable(shop, user_id)
    payment: dict[str, Any] = (await pay(shop, user_id, order_id)).json()
    await shop.send(OrderConfirmed(order_id=order_id, payment_id=UUID(payment["id"])))
    return await until(shop, user_id, payment["id"], "captured")


async def until(shop: Harness, user_id: UUID, payment_id: str, status: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def reached() -> bool:
        seen.update((await shop.http.get(f"/payments/{payment_id}", headers=shop.as_user(user_id))).json())
        return bool(seen["status"] == status)

    await wait_until(reached, message=f"not {status}")
    return seen


def names(shop: Harness) -> list[str]:
    return [event.wire_name for event in shop.outgoing()]


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("/problems/")


async def test_pay_confirm_capture(shop: Harness) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)

    response = await pay(shop, user_id, order_id)

    assert response.status_code == 201
    payment = response.json()
    assert response.headers["location"] == f"/payments/{payment['id']}"
    assert (payment["status"], payment["amount"]) == ("authorized", {"amount": 1999, "currency": "EUR"})
    assert payment["captured"] == payment["refunded"] == {"amount": 0, "currency": "EUR"}
    await shop.send(OrderConfirmed(order_id=order_id, payment_id=UUID(payment["id"])))
    captured = await until(shop, user_id, payment["id"], "captured")
    assert captured["captured"] == {"amount": 1999, "currency": "EUR"}
    await shop.settled()
    assert names(shop) == ["payment.authorized.v1", "payment.captured.v1"]


@pytest.mark.parametrize(
    ("method", "code"),
    [("pm_card_chargeDeclined", "card_declined"), ("pm_card_insufficientFunds", "insufficient_funds")],
)
async def test_a_decline_is_an_answer_and_the_order_stays_payable(shop: Harness, method: str, code: str) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)

    declined = await pay(shop, user_id, order_id, method)
    paid = await pay(shop, user_id, order_id)

    assert (declined.status_code, declined.json()["status"], declined.json()["decline_code"]) == (201, "declined", code)
    assert paid.json()["status"] == "authorized"
    listed = await shop.http.get("/payments", params={"order_id": str(order_id)}, headers=shop.as_user(user_id))
    assert [item["status"] for item in listed.json()["items"]] == ["declined", "authorized"]
    await shop.settled()
    assert names(shop) == ["payment.declined.v1", "payment.authorized.v1"]


async def test_an_abandoned_authentication_is_replaced_by_another_card(shop: Harness) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)
    abandoned = (await pay(shop, user_id, order_id, "pm_card_authenticationRequired")).json()

    paid = await pay(shop, user_id, order_id)

    assert paid.json()["status"] == "authorized"
    await until(shop, user_id, abandoned["id"], "voided")
    late = await shop.http.post(f"/payments/{abandoned['id']}/confirm", headers=shop.as_user(user_id))
    assert late.json()["status"] == "voided"
    await shop.send(OrderConfirmed(order_id=order_id, payment_id=UUID(paid.json()["id"])))
    await until(shop, user_id, paid.json()["id"], "captured")
    await shop.settled()
    assert sorted(names(shop)) == ["payment.authorized.v1", "payment.captured.v1", "payment.voided.v1"]


@pytest.mark.parametrize(
    ("method", "ends"), [("pm_card_authenticationRequired", "authorized"), ("pm_card_authenticationFails", "declined")]
)
async def test_authentication(shop: Harness, method: str, ends: str) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)
    payment = (await pay(shop, user_id, order_id, method)).json()
    assert payment["status"] == "requires_action"
    assert payment["next_action"] == {"type": "simulated_authentication"}

    url = f"/payments/{payment['id']}/confirm"
    assert problem(await shop.http.post(url, headers=shop.as_user())) == (404, "not-found")
    confirmed = await shop.http.post(url, headers=shop.as_user(user_id))
    again = await shop.http.post(url, headers=shop.as_user(user_id))

    assert (confirmed.status_code, confirmed.json()["status"]) == (200, ends)
    assert again.json() == confirmed.json()
    await shop.settled()
    assert names(shop) == [f"payment.{ends}.v1"]


async def test_a_lost_answer_is_pending_and_then_the_truth(shop: Harness) -> None:
    user_id = uuid4()
    response = await pay(shop, user_id, await a_payable(shop, user_id), "pm_card_lostAnswer")

    assert (response.status_code, response.json()["status"]) == (201, "pending")
    await until(shop, user_id, response.json()["id"], "authorized")


async def test_a_slow_card_is_waited_for(shop: Harness) -> None:
    user_id = uuid4()
    response = await pay(shop, user_id, await a_payable(shop, user_id), "pm_card_slow")

    assert response.json()["status"] == "authorized"


async def test_a_failed_capture_is_told(shop: Harness) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)
    payment = (await pay(shop, user_id, order_id, "pm_card_captureFails")).json()

    await shop.send(OrderConfirmed(order_id=order_id, payment_id=UUID(payment["id"])))

    await until(shop, user_id, payment["id"], "capture_failed")
    await shop.settled()
    assert names(shop)[-1] == "payment.capture_failed.v1"
    assert problem(await pay(shop, user_id, order_id)) == (409, "order-not-payable")


async def test_the_same_key_is_the_same_answer(shop: Harness) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)

    first = await pay(shop, user_id, order_id, key="k1")
    second = await pay(shop, user_id, order_id, key="k1")
    other_body = await pay(shop, user_id, order_id, "pm_card_slow", key="k1")

    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert problem(other_body) == (422, "idempotency-key-reused")


async def test_twenty_at_once(shop: Harness) -> None:
    user_id = uuid4()
    order_id = await a_payable(shop, user_id)

    responses = await asyncio.gather(*(pay(shop, user_id, order_id, key=f"k{i % 10}") for i in range(20)))

    made = {response.json()["id"] for response in responses if response.status_code == 201}
    assert len(made) == 1
    refusals = {problem(response)[1] for response in responses if response.status_code != 201}
    assert refusals <= {"payment-in-progress", "already-paid", "idempotency-in-progress"}


async def test_a_client_faster_than_the_event_is_not_told_that_its_order_does_not_exist(shop: Harness) -> None:
    user_id, order_id = uuid4(), uuid4()
    paying = asyncio.create_task(pay(shop, user_id, order_id))
    await a_payable(shop, user_id, order_id=order_id)
    assert (await paying).status_code == 201


async def test_only_the_owner_pays_and_looks(shop: Harness) -> None:
    user_id, stranger = uuid4(), uuid4()
    order_id = await a_payable(shop, user_id)

    foreign, unknown = await pay(shop, stranger, order_id), await pay(shop, user_id, uuid4())

    assert problem(foreign) == problem(unknown) == (404, "not-found")
    assert foreign.json()["detail"] == unknown.json()["detail"]
    payment = (await pay(shop, user_id, order_id)).json()
    url = f"/payments/{payment['id']}"
    foreign_read = await shop.http.get(url, headers=shop.as_user(stranger))
    assert problem(foreign_read) == (404, "not-found")
    assert (await shop.http.get(url, headers=shop.as_operator())).status_code == 200
    listed = await shop.http.get("/payments", params={"order_id": str(order_id)}, headers=shop.as_user(stranger))
    assert listed.json() == {"items": []}


async def test_what_cannot_be_paid(shop: Harness) -> None:
    user_id = uuid4()
    late = await a_payable(shop, user_id, minutes=-1)
    free = await a_payable(shop, user_id, amount=Money(amount=0, currency="EUR"))
    cancelled = await a_payable(shop, user_id)
    await shop.send(OrderCancelled(order_id=cancelled, reason="customer"))
    paid = await a_payable(shop, user_id)
    await pay(shop, user_id, paid)

    for order_id in (late, free, cancelled):
        assert problem(await pay(shop, user_id, order_id)) == (409, "order-not-payable")
    assert problem(await pay(shop, user_id, paid)) == (409, "already-paid")


async def test_cancelling_a_paid_order_refunds_it(shop: Harness) -> None:
    user_id = uuid4()
    payment = await a_captured(shop, user_id)

    await shop.send(OrderCancelled(order_id=UUID(payment["order_id"]), reason="customer", refund=True))

    refunded = await until(shop, user_id, payment["id"], "refunded")
    assert refunded["refunded"] == refunded["captured"] == {"amount": 1999, "currency": "EUR"}
    assert [refund["status"] for refund in refunded["refunds"]] == ["succeeded"]
    await shop.settled()
    assert names(shop)[-1] == "payment.refunded.v1"


async def test_refunds_by_an_operator(shop: Harness) -> None:
    user_id = uuid4()
    payment = await a_captured(shop, user_id)
    url = f"/payments/{payment['id']}/refunds"

    async def refund(amount: int | None, key: str) -> httpx.Response:
        body: dict[str, Any] = {"reason": "damaged"}
        if amount is not None:
            body["amount"] = {"amount": amount, "currency": "EUR"}
        operator = UUID(int=7)
        token = shop.mint.headers(operator, roles=("operator",))
        return await shop.http.post(url, json=body, headers={**token, "Idempotency-Key": key})

    first = await refund(500, "a")
    replayed = await refund(500, "a")
    equal = await refund(500, "b")
    assert (first.status_code, first.json()["status"], first.json()["amount"]["amount"]) == (201, "succeeded", 500)
    assert (replayed.content, replayed.headers["idempotent-replayed"]) == (first.content, "true")
    assert equal.json()["id"] != first.json()["id"]
    assert problem(await refund(1000, "c")) == (422, "refund-exceeds-capture")
    rest = await refund(None, "d")
    assert rest.json()["amount"]["amount"] == 999
    assert problem(await refund(None, "e")) == (422, "refund-exceeds-capture")

    seen = await until(shop, user_id, payment["id"], "refunded")
    assert [r["amount"]["amount"] for r in seen["refunds"]] == [500, 500, 999]
    await shop.settled()
    totals = [event.model_dump()["total"]["amount"] for event in shop.outgoing() if "refunded" in event.wire_name]
    assert totals == [500, 1000, 1999]


async def test_customers_do_not_refund(shop: Harness) -> None:
    user_id = uuid4()
    payment = await a_captured(shop, user_id)
    headers = {**shop.as_user(user_id), "Idempotency-Key": "k"}

    response = await shop.http.post(f"/payments/{payment['id']}/refunds", json={"reason": "x"}, headers=headers)

    assert problem(response) == (403, "forbidden")
    assert problem(await shop.http.get("/payments/audit", headers=shop.as_user())) == (403, "forbidden")


ORDER = "00000000-0000-4000-8000-000000000000"
BAD_INPUT: dict[str, tuple[bytes, int, str]] = {
    "unknown method": (f'{{"order_id":"{ORDER}","payment_method":"pm_card_free"}}'.encode(), 422, "validation"),
    "no method": (f'{{"order_id":"{ORDER}"}}'.encode(), 422, "validation"),
    "its own price": (
        f'{{"order_id":"{ORDER}","payment_method":"pm_card_visa","amount":1}}'.encode(),
        422,
        "validation",
    ),
    "not an id": (b'{"order_id":"7","payment_method":"pm_card_visa"}', 422, "validation"),
    "a number": (b'{"order_id":1e400,"payment_method":"pm_card_visa"}', 422, "validation"),
    "NaN": (b'{"order_id":NaN,"payment_method":"pm_card_visa"}', 400, "malformed-json"),
    "twice": (b'{"order_id":"a","order_id":"b","payment_method":"pm_card_visa"}', 400, "malformed-json"),
    "nothing": (b"", 400, "malformed-json"),
    "huge": (b'{"order_id":"' + b"a" * 70_000 + b'"}', 413, "too-large"),
}


@pytest.mark.parametrize(("body", "status", "slug"), BAD_INPUT.values(), ids=BAD_INPUT)
async def test_bad_input_changes_nothing(shop: Harness, body: bytes, status: int, slug: str) -> None:
    headers = {**shop.as_user(), "Idempotency-Key": "k", "Content-Type": "application/json"}

    response = await shop.http.post("/payments", content=body, headers=headers)

    assert problem(response) == (status, slug)
    assert shop.outgoing() == []


async def test_a_key_is_required(shop: Harness) -> None:
    body = {"order_id": ORDER, "payment_method": "pm_card_visa"}

    assert problem(await shop.http.post("/payments", json=body, headers=shop.as_user())) == (
        400,
        "idempotency-key-required",
    )
    assert problem(await shop.http.post("/payments", json=body)) == (401, "unauthenticated")


@pytest.mark.parametrize("path", ["/payments/7", "/payments/" + "9" * 30, f"/payments/{ORDER}"])
async def test_ids_that_name_nothing(shop: Harness, path: str) -> None:
    assert problem(await shop.http.get(path, headers=shop.as_user())) == (404, "not-found")


async def test_the_audit(shop: Harness) -> None:
    user_id = uuid4()
    payment = await a_captured(shop, user_id)
    await shop.settled()

    report = (await shop.http.get("/payments/audit", headers=shop.as_operator())).json()

    assert report["breaches"] == []
    (order,) = (await shop.http.get("/payments/audit/orders", headers=shop.as_operator())).json()["items"]
    assert (order["order_id"], order["state"], order["payment_state"]) == (payment["order_id"], "confirmed", "captured")
    assert (order["requested"], order["captured"], order["refunded"], order["captures"]) == (1999, 1999, 0, 1)
    assert report["ledger"]["EUR"]["provider_balance"] == 1999
    assert sum(report["ledger"]["EUR"].values()) == 0
    assert report["open_authorizations"] == report["operations_pending"] == []
    assert report["sent"] == {"payment.authorized.v1": 1, "payment.captured.v1": 1}
    assert report["received"]["order.confirmed.v1"] == 1
    assert report["outbox"] == {"pending": 0, "parked": 0, "oldest_pending_at": None, "rows": []}
