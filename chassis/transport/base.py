"""The port to the broker: what services may ask of it and what they are told, whatever stands behind."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish. `headers` are our own and never start with `x-`: those belong to the broker."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    type: str = ""
    app_id: str = ""
    correlation_id: str = ""
    timestamp: datetime | None = None
    content_type: str = "application/cloudevents+json"
    headers: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if reserved := [name for name in self.headers if name.startswith("x-")]:
            raise ValueError(f"headers {reserved} belong to the broker")


class Outcome(StrEnum):
    """What became of a publish. Only ACK is success; after UNKNOWN the message may or may not have arrived."""

    ACK = "ack"
    RETURNED = "returned"
    NACKED = "nacked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The outcome of one publish and, unless it is ACK, the reason for an operator to read."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received, unsettled message. `delivery_count` is how often it was handed out before (0 the first time)."""

    body: bytes
    message_id: str | None = None
    type: str | None = None
    exchange: str = ""
    routing_key: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)
    redelivered: bool = False
    delivery_count: int = 0
    stream_offset: int | None = None
    correlation_id: str | None = None
    handle: object = field(default=None, repr=False, compare=False)
    """The transport's own note of where to settle it."""


@dataclass(frozen=True, slots=True)
class TransportHealth:
    """How the connection to the broker is: `topology_error` is one sentence an operator can act on."""

    publisher_connected: bool
    blocked_since: datetime | None = None
    topology_error: str | None = None
    reconnects: int = 0
    last_error: str = ""


class SubscriptionClosedError(Exception):
    """The subscription was stopped: there is nothing more to receive."""


class BrokerUnavailableError(Exception):
    """The broker cannot be asked now, or did not answer; the message is one sentence an operator can act on."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many messages wait in a queue to be handed out (not those that are), and how many consumers it has."""

    queue: str
    ready: int
    consumers: int


class Browse(Protocol):
    """The first messages of a queue, held for a look: nobody else gets them meanwhile, and then they go back."""

    @property
    def held(self) -> Sequence[Delivery]:
        """The messages, oldest first."""

    @property
    def behind(self) -> int:
        """How many more were waiting after them."""

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Take these out of the queue for good.

        Raises:
            BrokerUnavailableError: it is not certain, they may still be there.
        """


class Subscription(Protocol):
    """Messages of one queue, at least once each, in no order to rely on."""

    async def receive(self, limit: int) -> list[Delivery]:
        """Wait for a message, then take up to `limit` of those already here, across any reconnects.

        Raises:
            SubscriptionClosedError: `stop` was called.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Done with these. Of a session that is gone: does nothing, they come again."""

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Give these back at once, to anyone. Of a session that is gone: does nothing, they come again."""

    async def stop(self) -> None:
        """Receive no more. What was handed out can still be settled; what was not goes back to the queue."""

    @property
    def live(self) -> bool:
        """Whether the broker knows this consumer now."""


class Transport(Protocol):
    """A service's way to the broker."""

    async def start(self) -> None:
        """Begin to connect, in the background; returns at once, whether or not there is a broker."""

    async def stop(self) -> None:
        """Close cleanly; subscriptions should have been stopped and what they handed out settled."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        """Publish, pipelined, and wait for the broker's answers: one result per message, in the same order.

        Never raises for trouble with the broker: without a connection each result is UNKNOWN, at once.
        """

    def subscribe(self, queue: str, *, prefetch: int) -> Subscription:
        """Consume a queue with at most `prefetch` messages unsettled, now and after every reconnect."""

    def browse(self, queue: str, *, limit: int, max_bytes: int) -> AbstractAsyncContextManager[Browse]:
        """Hold the first `limit` messages of a queue, fewer once their bodies have `max_bytes`, while the block lasts.

        Then all that was not removed is back, delivered once more by the broker's count, in its order: but a look that
        holds less than an earlier one puts what it held behind what the earlier one held and it did not. Nothing is
        kept open between two looks.

        Raises (on entering):
            BrokerUnavailableError: there is no broker, or no such queue for us.
        """

    async def depths(self, queues: Sequence[str]) -> list[QueueDepth]:
        """How full these queues are, in the same order. Looks with a connection of its own, which is then closed.

        Raises:
            BrokerUnavailableError: there is no broker, or no such queue.
        """

    def health(self) -> TransportHealth:
        """How it is right now."""
