"""The events as they are on the wire: one committed sample and one committed schema per version."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from contracts.envelope import Event, decode, encode
from contracts.registry import EVENT_TYPES, typed
from tests.contracts.schemas import (
    GOLDEN,
    REFRESH,
    Schema,
    as_text,
    breaking_changes,
    committed_schema,
    current_schema,
    golden_file,
    schema_file,
)

PERSONAL = {
    *("email", "mail", "name", "firstname", "lastname", "surname", "username", "nickname", "password", "passwd"),
    *("phone", "mobile", "street", "address", "city", "zip", "postcode", "birthday", "birthdate", "birth"),
    *("iban", "card", "pan", "cvc", "ip", "token", "secret"),
}

every_event = pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES.keys())


def test_every_event_has_a_sample_and_every_sample_an_event() -> None:
    samples = {path.stem for path in GOLDEN.glob("*.json")}
    assert samples == set(EVENT_TYPES), "write a sample by hand for a new event; remove that of a removed one"


def test_every_event_has_a_schema_and_every_schema_an_event() -> None:
    schemas = {path.stem for path in (GOLDEN / "schema").glob("*.json")}
    assert schemas == set(EVENT_TYPES), f"run `{REFRESH}` for a new event; remove the schema of a removed one"


@every_event
def test_a_sample_is_its_event_to_the_letter(event: type[Event]) -> None:
    body = golden_file(event.wire_name).read_bytes()
    document = json.loads(body)
    envelope = decode(body)
    fact = typed(envelope)
    assert type(fact) is event
    assert (envelope.type, envelope.subject) == (event.wire_name, fact.subject)
    assert envelope.correlationid == (fact.conversation or envelope.correlationid)
    assert json.loads(encode(envelope)) == document
    assert fact.model_dump(mode="json", exclude_unset=True) == document["data"]


@every_event
def test_readers_ignore_fields_they_do_not_know(event: type[Event]) -> None:
    document = json.loads(golden_file(event.wire_name).read_bytes())
    known = typed(decode(json.dumps(document).encode()))
    document["dataschema"] = "https://example.org/later"
    document["data"]["added_later"] = {"nested": [1, 2]}
    assert typed(decode(json.dumps(document).encode())) == known


@every_event
def test_a_published_event_only_ever_grows(event: type[Event]) -> None:
    committed, current = committed_schema(event.wire_name), current_schema(event)
    broken = list(breaking_changes(committed, current))
    assert not broken, (
        f"{event.wire_name} is published; this would break those who read it or the events already in the journal: "
        f"{'; '.join(broken)}. Publish the next version beside it instead."
    )
    assert schema_file(event.wire_name).read_text() == as_text(current), (
        f"{event.wire_name} grew, which is allowed: run `{REFRESH}` and commit the schema"
    )


@every_event
def test_no_event_carries_personal_data(event: type[Event]) -> None:
    names = set(_field_names(current_schema(event)))
    suspicious = {name for name in names if PERSONAL & set(name.lower().split("_"))}
    assert not suspicious, "acknowledged messages stay on the broker's disk: events carry ids only"


def _field_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from _field_names(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _field_names(item)


def an_old_schema() -> dict[str, Any]:
    return deepcopy(committed_schema("order.placed.v1"))


def remove(schema: dict[str, Any]) -> None:
    del schema["properties"]["user_id"]
    schema["required"].remove("user_id")


def rename(schema: dict[str, Any]) -> None:
    schema["properties"]["customer_id"] = schema["properties"].pop("user_id")


def retype(schema: dict[str, Any]) -> None:
    schema["properties"]["reserve_by"] = {"type": "integer"}


def retype_deep_inside(schema: dict[str, Any]) -> None:
    schema["properties"]["lines"]["items"]["properties"]["quantity"]["type"] = "number"


def require_more(schema: dict[str, Any]) -> None:
    schema["properties"]["channel"] = {"type": "string"}
    schema["required"].append("channel")


def require_less(schema: dict[str, Any]) -> None:
    schema["required"].remove("reserve_by")


def grow_what_is_closed(schema: dict[str, Any]) -> None:
    schema["properties"]["total"]["properties"]["tax"] = {"type": "integer"}


def close(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (remove, "data.user_id is gone"),
        (rename, "data.user_id is gone"),
        (retype, "data.reserve_by is of another type"),
        (retype_deep_inside, "data.lines[].quantity is of another type"),
        (require_more, "data.channel is required now"),
        (require_less, "data.reserve_by may be missing now"),
        (grow_what_is_closed, "data.total.tax is new, and old readers refuse it there"),
        (close, "data refuses unknown fields now"),
    ],
)
def test_breaking_changes_are_named(change: Any, complaint: str) -> None:
    schema = an_old_schema()
    change(schema)
    assert any(complaint in broken for broken in breaking_changes(an_old_schema(), schema))


def test_an_optional_field_more_or_other_words_break_nothing() -> None:
    schema: Schema = an_old_schema()
    schema["properties"]["note"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    schema["properties"]["lines"]["items"]["properties"]["gift"] = {"type": "boolean", "default": False}
    schema["properties"]["user_id"]["description"] = "Who ordered."
    assert not list(breaking_changes(an_old_schema(), schema))
