"""Who publishes and who reads what: one owner per aggregate, no fact nobody makes, no name twice."""

import re
from collections import Counter

import pytest

from contracts.envelope import Envelope, Event, UndecodableEventError
from contracts.registry import EVENT_TYPES, SERVICES, TOKEN_EVENTS, typed

OWNERS = {
    "auth": {"user", "session", "signing_key"},
    "catalog": {"product", "stock"},
    "order": {"order"},
    "payment": {"payment"},
}


def aggregate_of(event: type[Event]) -> str:
    return event.wire_name.partition(".")[0]


def test_each_service_publishes_about_its_own_aggregates_only() -> None:
    assert {name: {aggregate_of(e) for e in contract.publishes} for name, contract in SERVICES.items()} == OWNERS


def test_every_event_has_one_publisher() -> None:
    publishers = Counter(event for contract in SERVICES.values() for event in contract.publishes)
    assert set(publishers.values()) == {1}
    assert set(publishers) == set(EVENT_TYPES.values())


def test_every_kind_of_event_is_registered() -> None:
    assert {event for event in Event.__subclasses__() if event.__module__.startswith("contracts.")} == set(
        EVENT_TYPES.values()
    )


def test_every_event_that_is_read_is_published_by_another_service() -> None:
    for name, contract in SERVICES.items():
        others = {event for other, c in SERVICES.items() if other != name for event in c.publishes}
        assert set(contract.reads) <= others
        assert len(contract.reads) == len(set(contract.reads))


def test_whoever_takes_tokens_hears_of_keys_and_revocations() -> None:
    assert all(set(TOKEN_EVENTS) <= set(c.reads) for name, c in SERVICES.items() if name != "auth")


def test_catalog_and_payment_answer_orders_decisions_and_never_each_others() -> None:
    """The choreography has one judge: what happens to an order is decided, and read, in one place."""
    for name in ("catalog", "payment"):
        assert {aggregate_of(event) for event in SERVICES[name].reads} - {"session", "signing_key"} == {"order"}


@pytest.mark.parametrize("wire_name", EVENT_TYPES)
def test_names_are_an_aggregate_a_fact_and_a_version(wire_name: str) -> None:
    event = EVENT_TYPES[wire_name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*\.v[1-9]\d*", wire_name)
    assert event.wire_name == wire_name
    assert event.subject_field in event.model_fields


def test_a_name_that_is_not_registered_is_no_event() -> None:
    envelope = Envelope.model_validate(
        {
            "id": "01953f2a-7c1e-7d34-9a55-3f0c8e21b6d4",
            "source": "/order",
            "type": "order.lost.v1",
            "subject": "1",
            "time": "2026-03-14T10:00:00Z",
            "correlationid": "01953f2a-7c1e-7d34-9a55-3f0c8e21b6d4",
            "aggregateversion": 1,
            "data": {},
        }
    )
    with pytest.raises(UndecodableEventError, match=r"unknown event type 'order\.lost\.v1'"):
        typed(envelope)
