"""What exists on the broker, as data: exchanges, queues, bindings and who may do what.

Only what RabbitMQ 3.10 and 4 both understand and mean alike.
Every exchange is a topic exchange, also where a fanout or direct one would route the same: RabbitMQ checks rights by
routing key on topic exchanges only, and a retry tier that took any key would let one service write into the inbox of
another. Arguments of a queue never change in place: a new name, then drain the old one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from contracts.registry import SERVICES

VHOST: Final = "/"
EVENTS: Final = "shop.events"
DEAD: Final = "shop.dead"
JOURNAL: Final = "shop.journal"
OPERATOR_USER: Final = "operator"
MONITORING_USER: Final = "monitoring"

DELIVERY_LIMIT: Final = 20
"""Backstop only: a crash counts against every prefetched message, so real attempts are counted by the consumer."""

NO_DELIVERY_LIMIT: Final = 1_000_000
"""For dead queues: looking at a letter in the management UI counts as a delivery, and past the limit it is dropped
(without any limit RabbitMQ 4 would take 20). `-1` is no way out: 3.10 drops the message at its first return."""

JOURNAL_MAX_AGE: Final = "30D"
JOURNAL_MAX_BYTES: Final = 5_000_000_000
JOURNAL_SEGMENT_BYTES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class RetryTier:
    """A detour of fixed length: published to `exchange` under a work queue's name, it arrives there `seconds` later."""

    exchange: str
    seconds: int


RETRY_TIERS: Final = tuple(
    RetryTier(f"shop.retry.{label}", seconds)
    for label, seconds in (("1s", 1), ("5s", 5), ("30s", 30), ("2m", 120), ("10m", 600))
)


def inbox_queue(service: str) -> str:
    """The one queue a service works from."""
    return f"{service}.inbox"


def dead_queue(service: str) -> str:
    """Where a service's undeliverable messages wait for an operator."""
    return f"{service}.dead"


ExchangeKind = Literal["topic", "direct", "fanout"]
Arguments = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: ExchangeKind = "topic"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue; `arguments` are the `x-` arguments of its declaration."""

    name: str
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of `exchange` whose key matches `routing_key` go to `queue`."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything to declare, in an order that is safe: whatever dead-letters comes after its target."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class TopicRights:
    """Which routing keys a user may publish to one topic exchange (a regular expression)."""

    exchange: str
    write: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What one broker user may do: regular expressions over names, as RabbitMQ has them, plus management tags."""

    user: str
    configure: str
    write: str
    read: str
    topics: tuple[TopicRights, ...] = ()
    tags: tuple[str, ...] = ()


def shop_topology() -> Topology:
    """The shop's whole topology, from the contracts' table of who reads what."""
    return Topology(
        exchanges=(Exchange(DEAD), *(Exchange(tier.exchange) for tier in RETRY_TIERS), Exchange(EVENTS)),
        queues=(
            *(Queue(dead_queue(service), _DEAD_ARGUMENTS) for service in SERVICES),
            *(Queue(tier.exchange, _retry_arguments(tier)) for tier in RETRY_TIERS),
            *(Queue(inbox_queue(service), _inbox_arguments(service)) for service in SERVICES),
            Queue(JOURNAL, _JOURNAL_ARGUMENTS),
        ),
        bindings=(
            *(Binding(DEAD, dead_queue(service), service) for service in SERVICES),
            *(Binding(tier.exchange, tier.exchange, "#") for tier in RETRY_TIERS),
            *(
                Binding(EVENTS, inbox_queue(service), event.wire_name)
                for service, contract in SERVICES.items()
                for event in contract.reads
            ),
            Binding(EVENTS, JOURNAL, "#"),
        ),
    )


def shop_rights() -> tuple[Rights, ...]:
    """One least-privilege user per service, the operator's, and one that looks.

    A service declares nothing, reads its own two queues, and publishes its own aggregates' events, its own dead
    letters and retries of its own work. It needs no right on the default exchange: what comes back from a retry tier
    is moved by the broker itself. To redrive a dead letter it takes the shortest tier.
    Monitoring sees every figure and may peek into queues; RabbitMQ has no right to peek that is not a right to read.
    """
    return (
        *(_service_rights(service) for service in SERVICES),
        Rights(OPERATOR_USER, ".*", ".*", ".*", tags=("administrator",)),
        Rights(MONITORING_USER, "^$", "^$", ".*", tags=("monitoring",)),
    )


def _service_rights(service: str) -> Rights:
    aggregates = sorted({event.wire_name.split(".")[0] for event in SERVICES[service].publishes})
    inbox = f"^{re.escape(inbox_queue(service))}$"
    return Rights(
        user=service,
        configure="^$",
        write=r"^shop\.(events|dead|retry\..+)$",
        read=rf"^{service}\.(inbox|dead)$",
        topics=(
            TopicRights(EVENTS, rf"^({'|'.join(aggregates)})\.[a-z_]+\.v[0-9]+$"),
            TopicRights(DEAD, f"^{service}$"),
            *(TopicRights(tier.exchange, inbox) for tier in RETRY_TIERS),
        ),
    )


_DEAD_ARGUMENTS: Arguments = MappingProxyType(
    {"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT, "x-overflow": "reject-publish"}
)

_JOURNAL_ARGUMENTS: Arguments = MappingProxyType(
    {
        "x-queue-type": "stream",
        "x-max-age": JOURNAL_MAX_AGE,
        "x-max-length-bytes": JOURNAL_MAX_BYTES,
        "x-stream-max-segment-size-bytes": JOURNAL_SEGMENT_BYTES,
    }
)


def _inbox_arguments(service: str) -> Arguments:
    return MappingProxyType(
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD,
            "x-dead-letter-routing-key": service,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    )


def _retry_arguments(tier: RetryTier) -> Arguments:
    return MappingProxyType(
        {
            "x-queue-type": "quorum",
            "x-message-ttl": tier.seconds * 1000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    )
