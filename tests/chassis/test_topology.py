"""The topology is complete, safe and grants nobody more than needed."""

import re

import pytest

from chassis.topology import (
    DEAD,
    EVENTS,
    JOURNAL,
    RETRY_TIERS,
    Rights,
    dead_queue,
    inbox_queue,
    shop_rights,
    shop_topology,
)
from contracts.registry import EVENT_TYPES, SERVICES

TOPOLOGY = shop_topology()
QUEUES = {queue.name: queue.arguments for queue in TOPOLOGY.queues}
RIGHTS = {rights.user: rights for rights in shop_rights()}


def test_every_binding_joins_things_that_exist() -> None:
    exchanges = {exchange.name for exchange in TOPOLOGY.exchanges}
    assert all(binding.exchange in exchanges and binding.queue in QUEUES for binding in TOPOLOGY.bindings)


def test_an_inbox_is_bound_to_what_its_service_reads() -> None:
    for service, contract in SERVICES.items():
        keys = {b.routing_key for b in TOPOLOGY.bindings if b.queue == inbox_queue(service)}
        assert keys == {event.wire_name for event in contract.reads}


def test_dead_letter_targets_come_before_what_dead_letters_to_them() -> None:
    order = list(QUEUES)
    for service in SERVICES:
        assert order.index(dead_queue(service)) < order.index(inbox_queue(service))
        assert QUEUES[inbox_queue(service)]["x-dead-letter-exchange"] == DEAD


def test_at_least_once_dead_lettering_has_the_overflow_it_needs() -> None:
    for arguments in QUEUES.values():
        if arguments.get("x-dead-letter-strategy") == "at-least-once":
            assert arguments["x-overflow"] == "reject-publish"


def test_the_journal_takes_everything() -> None:
    assert [b.routing_key for b in TOPOLOGY.bindings if b.queue == JOURNAL] == ["#"]


def may_publish(rights: Rights, exchange: str, routing_key: str) -> bool:
    """RabbitMQ's rule: the exchange's name by `write`, and on a topic exchange the key as well."""
    keys = [topic.write for topic in rights.topics if topic.exchange == exchange]
    return bool(re.search(rights.write, exchange)) and all(re.search(pattern, routing_key) for pattern in keys)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_its_own_events_and_no_others(service: str) -> None:
    own = {event.wire_name for event in SERVICES[service].publishes}
    assert {key for key in EVENT_TYPES if may_publish(RIGHTS[service], EVENTS, key)} == own


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_retries_and_buries_only_its_own_work(service: str) -> None:
    for other in SERVICES:
        assert may_publish(RIGHTS[service], DEAD, other) == (other == service)
        for tier in RETRY_TIERS:
            assert may_publish(RIGHTS[service], tier.exchange, inbox_queue(other)) == (other == service)
    assert not may_publish(RIGHTS[service], "", inbox_queue(service))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_only_its_own_queues_and_declares_nothing(service: str) -> None:
    rights = RIGHTS[service]
    assert {name for name in QUEUES if re.search(rights.read, name)} == {inbox_queue(service), dead_queue(service)}
    assert not any(re.search(rights.configure, name) for name in QUEUES)
