"""The envelope: what is not one of our events is refused with a reason, and never with the values it held."""

import json
from typing import Any

import pytest

from contracts.envelope import MAX_EVENT_BYTES, UndecodableEventError, decode
from contracts.registry import typed
from tests.contracts.schemas import golden_file

SECRET = "4111-1111-hunter2"


def a_document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(golden_file("payment.refunded.v1").read_bytes())
    return document | changes


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def refusal(body: bytes) -> str:
    """Why it was refused, after making sure the reason tells no value."""
    with pytest.raises(UndecodableEventError) as error:
        typed(decode(body))
    assert SECRET not in str(error.value)
    # A logged traceback would print the validator's error as well, values and all.
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    return str(error.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", SECRET.encode(), f'{{"id": "{SECRET}'.encode(), b"\xff\xfe\x00", b'{"a": 1,}', b"[" * 5_000],
    ids=["empty", "cut off", "text", "cut off in a value", "not UTF-8", "trailing comma", "deep"],
)
def test_what_is_not_json(body: bytes) -> None:
    assert refusal(body).startswith("not JSON")


def test_what_is_far_too_large_is_not_even_parsed() -> None:
    body = json.dumps(a_document(data={"fill": "x" * MAX_EVENT_BYTES})).encode()
    assert refusal(body) == f"{len(body)} bytes, an event has at most {MAX_EVENT_BYTES}"


@pytest.mark.parametrize("document", [None, 1, "text", [], [{}], {}])
def test_json_that_is_no_envelope(document: Any) -> None:
    assert refusal(json.dumps(document).encode()).startswith("not a CloudEvents envelope")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("specversion", "0.3"),
        ("specversion", SECRET),
        ("id", SECRET),
        ("time", SECRET),
        ("datacontenttype", SECRET),
        ("correlationid", SECRET),
        ("aggregateversion", SECRET),
        ("aggregateversion", 0),
        ("data", SECRET),
        ("type", None),
    ],
)
def test_an_attribute_of_the_wrong_kind_is_named(name: str, value: Any) -> None:
    assert name in refusal(json.dumps(a_document(**{name: value})).encode())


@pytest.mark.parametrize(
    "name", ["id", "source", "type", "subject", "time", "correlationid", "aggregateversion", "data"]
)
def test_a_missing_attribute_is_named(name: str) -> None:
    assert f"{name}: Field required" in refusal(json.dumps(without(a_document(), name)).encode())


def test_an_unknown_type_is_said_to_be_one() -> None:
    reason = refusal(json.dumps(a_document(type="payment.refunded.v9")).encode())
    assert reason == "unknown event type 'payment.refunded.v9'"


def test_a_very_long_type_is_cut() -> None:
    assert len(refusal(json.dumps(a_document(type="x" * 10_000)).encode())) < 200


@pytest.mark.parametrize("name", ["payment_id", "order_id", "refund_id", "amount", "total"])
def test_a_missing_field_of_the_data_is_named(name: str) -> None:
    data = without(a_document()["data"], name)
    assert f"{name}: Field required" in refusal(json.dumps(a_document(data=data)).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": SECRET},
        {"amount": SECRET},
        {"amount": {"amount": SECRET, "currency": "EUR"}},
        {"amount": {"amount": 1, "currency": SECRET}},
        {"amount": {"amount": 1, "currency": "EUR", "hint": SECRET}},
        {"amount": {"amount": 1, "currency": "EUR", SECRET[:4]: SECRET}},
    ],
)
def test_data_of_the_wrong_kind_is_refused_without_its_values(wrong: dict[str, Any]) -> None:
    data = a_document()["data"] | wrong
    assert refusal(json.dumps(a_document(data=data)).encode()).startswith("data is not a payment.refunded.v1")
