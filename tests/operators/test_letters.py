"""Whatever lies in a dead queue can be looked at: hand-pasted, not text, forged or enormous."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest

from chassis.letters import MAX_READ_BYTES, MAX_SHOWN_BYTES, letter_id, open_letter
from chassis.topology import inbox_queue
from chassis.transport import Delivery
from tests.operators.conftest import Desk, a_listing

SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def opened(body: bytes, message_id: str | None = None, **headers: Any) -> Any:
    """A letter as it comes out of the HTTP door."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    letter = open_letter("order", Delivery(body, message_id=message_id, headers=named))
    return json.loads(letter.model_dump_json())


def test_text_is_shown_as_text_and_bytes_as_base64() -> None:
    assert (opened("größer".encode())["encoding"], opened("größer".encode())["body"]) == ("text", "größer")
    assert (opened(b"\xff\x00")["encoding"], opened(b"\xff\x00")["body"]) == ("base64", "/wA=")


def test_a_large_body_is_cut_and_says_so() -> None:
    letter = opened("ä".encode() * MAX_SHOWN_BYTES)
    assert (letter["complete"], letter["encoding"], letter["size"]) == (False, "text", 2 * MAX_SHOWN_BYTES)
    assert letter["body"] == "ä" * (MAX_SHOWN_BYTES // 2)
    assert opened(b"x" + "ä".encode() * MAX_SHOWN_BYTES)["body"][-1] == "ä"
    assert base64.b64decode(opened(b"\xff" * (MAX_READ_BYTES + 1))["body"]) == b"\xff" * MAX_SHOWN_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"id": 5, "type": 5, "subject": [], "data": "x"}',
        b'{"id": "\\ud800", "type": "\\ud800\\u0000", "subject": "\\ud800"}',
        b'{"id": "' + b"9" * 5000 + b'"}',
        b'{"data": {"order_id": {"deep": 1}}, "type": ""}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 10_000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_no_body_is_too_strange(body: bytes) -> None:
    letter = opened(body)
    assert letter["event_id"] is None
    assert letter["event"] is None
    assert letter["type"]
    assert letter["type"].isprintable()


@pytest.mark.parametrize(
    "headers",
    [
        {"attempt": "many", "redrives": -1, "died_at": 5, "first_failed_at": "noon", "error_type": b"x"},
        {"attempt": 10**9, "x_death": "yes"},
        {"x_death": [5, {}, {"queue": inbox_queue("order")}, {"routing-keys": "x"}]},
        {"x_death": [{"queue": inbox_queue("order"), "reason": "delivery_limit", "time": "then", "routing-keys": []}]},
        {"error_type": "x" * 5000, "error_message": "\x1b[31mred\n", "original_routing_key": 7},
    ],
)
def test_no_header_is_too_strange(headers: dict[str, Any]) -> None:
    letter = opened(b"{}", **headers)
    assert 0 <= letter["attempt"] < 1000
    assert len(letter["error_type"] or "") <= 500
    assert (letter["error_message"] or "").isprintable()


def test_a_letter_without_a_plain_message_id_has_a_name_of_its_own() -> None:
    names = [letter_id(Delivery(b"1")), letter_id(Delivery(b"2")), letter_id(Delivery(b"1", message_id="a/b ü"))]
    assert len(set(names)) == 3
    assert all(name.startswith("letter-") and "/" not in name for name in names)
    assert letter_id(Delivery(b"1")) == names[0]
    assert letter_id(Delivery(b"1", message_id="plain-1")) == "plain-1"


def test_the_event_id_is_what_readers_dedupe_by() -> None:
    inside, outside = str(uuid4()), str(uuid4())
    assert opened(json.dumps({"id": inside}).encode(), outside)["event_id"] == inside
    assert opened(b"not JSON", outside)["event_id"] == outside
    assert opened(b"not JSON", "by hand")["event_id"] is None


@SQLITE
async def test_an_event_is_shown_decoded(desk: Desk) -> None:
    envelope = a_listing(desk)
    id = desk.bury_event(envelope)
    letter = (await desk.get(f"/{id}")).json()
    assert letter["event"]["data"]["sku"] == "BOOK-1"
    assert json.loads(letter["body"])["id"] == id


@SQLITE
async def test_strange_letters_come_through_the_door(desk: Desk) -> None:
    """`NaN` and lone surrogates are what a JSON answer must not choke on."""
    envelope = json.loads(a_listing(desk).model_dump_json())
    envelope["data"]["price"]["amount"] = float("nan")
    bodies = [json.dumps(envelope).encode(), b'{"id": "\\ud800", "subject": "\\udfff"}', b"\xff"]
    for body in bodies:
        desk.bury(body, message_id="by hand/ünd more")
    letters = await desk.letters()
    assert len(letters) == 3
    for letter in letters:
        answer = await desk.get(f"/{letter['id']}")
        assert answer.status_code == 200, answer.text
    assert (await desk.get(f"/{letters[2]['id']}")).json()["body"] == "/w=="
