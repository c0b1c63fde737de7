"""Providers' notices: forged ones do nothing, true ones make us look, in any order and any number of times."""

import json
import time
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from contracts.order import OrderCancelled
from payment_svc.commands import TakeNotice
from payment_svc.domain.payment import PaymentState
from payment_svc.notices import take_notice
from payment_svc.providers.cards import Card
from payment_svc.providers.port import Notice
from payment_svc.providers.signatures import HEADER, InvalidSignatureError, check, sign
from payment_svc.settings import PaymentSettings
from tests.payment_svc.conftest import OLD_SECRET, SECRET
from tests.payment_svc.till import AnOrder, Till
from tests.support.harness import Harness

BODY = b'{"id":"evt_1","type":"payment.updated","data":{}}'
NOW = 1_800_000_000


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
@pytest.mark.parametrize("age", [-299, 0, 299])
def test_a_good_signature(secret: str, age: int) -> None:
    check(BODY, sign(BODY, secret, NOW - age), (SECRET, OLD_SECRET), NOW)


GOOD = sign(BODY, SECRET, NOW)
DIGEST = GOOD.partition("v1=")[2]
BAD_HEADERS = {
    "nothing": "",
    "no time": f"v1={DIGEST}",
    "no signature": f"t={NOW}",
    "another time": f"t={NOW + 1},v1={DIGEST}",
    "two times": f"t={NOW},t={NOW},v1={DIGEST}",
    "too old": sign(BODY, SECRET, NOW - 301),
    "from the future": sign(BODY, SECRET, NOW + 301),
    "another secret": sign(BODY, "some-other-secret-of-size", NOW),
    "an empty secret": sign(BODY, "", NOW),
    "another scheme": f"t={NOW},v0={DIGEST}",
    "not ASCII": f"t={NOW},v1=é{DIGEST}",
    "no number": f"t=now,v1={DIGEST}",
    "a number of many digits": f"t={'9' * 30},v1={DIGEST}",
    "upper case": f"t={NOW},v1={DIGEST.upper()}",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_signature(header: str) -> None:
    with pytest.raises(InvalidSignatureError):
        check(BODY, header, (SECRET, ""), NOW)


def test_another_body_than_the_signed_one() -> None:
    with pytest.raises(InvalidSignatureError):
        check(json.dumps(json.loads(BODY)).encode(), GOOD, (SECRET,), NOW)


def test_one_good_signature_of_several_is_enough() -> None:
    check(BODY, f"t={NOW},v1={'0' * 64},v1={DIGEST}", (SECRET,), NOW)


async def post(shop: Harness, body: bytes, header: str | None = None) -> httpx.Response:
    headers = {HEADER: sign(body, SECRET, int(time.time())) if header is None else header}
    return await shop.http.post("/payments/webhooks/simulated", content=body, headers=headers)


async def test_a_signed_notice_is_taken_once(shop: Harness) -> None:
    body = b'{"id":"evt_1","type":"something.else"}'

    assert [(await post(shop, body)).json() for _ in range(2)] == [{"result": "ignored"}, {"result": "seen"}]


async def test_a_forged_notice_does_nothing(shop: Harness) -> None:
    response = await post(shop, BODY, "t=1,v1=00")

    assert response.status_code == 400
    assert response.json()["type"] == "/problems/invalid-signature"
    report = (await shop.http.get("/payments/audit", headers=shop.as_operator())).json()
    assert report["webhooks_by_state"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"[" * 60_000,
        b'{"id":7,"type":"payment.updated"}',
        b'{"id":"\\u0000","type":"x"}',
        b'{"id":"\\ud800","type":"x"}',
        b'{"id":"a","type":"payment.updated","data":{"payment_id":"no"}}',
        b'{"id":"a","type":"payment.updated","data":{"amount":1.5,"currency":"EUR"}}',
        b'{"id":"a","type":"payment.updated","data":{"amount":5}}',
        b'{"id":"a","type":"payment.updated","data":[1]}',
        b"\xff\xfe",
    ],
)
async def test_a_signed_body_that_is_no_notice(shop: Harness, body: bytes) -> None:
    response = await post(shop, body)

    assert response.status_code == 400
    assert response.json()["type"] == "/problems/malformed-notice"


async def test_another_providers_route_is_not_there(shop: Harness) -> None:
    response = await shop.http.post("/payments/webhooks/stripe", content=b"{}")

    assert response.status_code == 404


def paths(app: FastAPI) -> list[str]:
    return [path for path in app.openapi()["paths"] if "webhooks" in path]


async def test_without_a_secret_there_is_no_route(till: Till, shop: Harness) -> None:
    assert paths(shop.app) == ["/payments/webhooks/simulated"]
    assert paths(till.app) == []


@pytest.mark.parametrize("secret", ["short", "a-good-long-secret-of-size,short"])
def test_a_guessable_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        PaymentSettings.model_validate({"webhook_secrets": secret})


async def notice(till: Till, payment_id: UUID, id_: str, amount: int | None = 1999) -> str:
    data = {"payment_id": str(payment_id)} | ({"amount": amount, "currency": "EUR"} if amount is not None else {})
    document = json.dumps({"id": id_, "type": "payment.updated", "data": data}).encode()
    read: Notice = till.provider.read_notice(document)
    return await till.runtime.writer.execute(take_notice, TakeNotice("simulated", read))


async def test_a_capture_the_provider_made_is_found_and_refunded_once(till: Till) -> None:
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    await till.provider.capture("by:hand", intent.reference, order.amount)
    await till.send(OrderCancelled(order_id=order.order_id, reason="customer"))
    await till.work_off()

    for id_ in ("evt_1", "evt_2", "evt_1"):
        await notice(till, order.payment_id, id_)
    await till.work_off()

    assert till.taken() == (1, 1999, 1999)
    assert await till.emitted_names(order) == ["authorized", "captured", "refunded"]


async def test_authenticated_at_the_provider_without_our_confirm(till: Till) -> None:
    order = await till.an_authorized(Card.AUTHENTICATION_REQUIRED)
    (intent,) = till.provider.intents
    await till.provider.confirm("by:the:customer", intent.reference)

    assert await notice(till, order.payment_id, "evt_1") == "accepted"
    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED


async def test_a_notice_before_our_own_answer_hurries_the_pending_call(till: Till) -> None:
    order = await till.an_authorized(Card.LOST_ANSWER)
    assert (await till.payment(order.payment_id)).state is PaymentState.PENDING

    assert await notice(till, order.payment_id, "evt_1") == "accepted"

    (operation,) = await till.pending()
    assert operation.next_at <= till.clock.now()


async def test_another_amount_is_quarantined(till: Till) -> None:
    order = await till.an_authorized()

    assert await notice(till, order.payment_id, "evt_1", amount=1) == "quarantined"

    assert await till.pending() == []
    assert (await till.audit()).webhooks_by_state == {"quarantined": 1}


async def test_another_amount_found_when_looking_is_quarantined(till: Till) -> None:
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    intent.amount = intent.amount * 2

    await notice(till, order.payment_id, "evt_1")
    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED
    assert (await till.audit()).webhooks_by_state == {"quarantined": 1}


async def test_a_notice_of_a_payment_we_never_made(till: Till) -> None:
    assert await notice(till, uuid4(), "evt_1") == "unmatched"


async def test_the_provider_let_the_hold_go(till: Till) -> None:
    order: AnOrder = await till.an_authorized()
    (intent,) = till.provider.intents
    await till.provider.void("expired", intent.reference)

    await notice(till, order.payment_id, "evt_1")
    await till.work_off()

    payment = await till.payment(order.payment_id)
    assert (payment.state, payment.held) == (PaymentState.VOIDED, 0)
