"""Builders for messages to and from the broker."""

from collections.abc import Sequence
from itertools import count

from chassis.topology import EVENTS
from chassis.transport import Delivery, Outcome, OutgoingMessage, PublishResult, Subscription, Transport
from tests.support.waiting import wait_until

_numbers = count(1)


def a_message(**changes: object) -> OutgoingMessage:
    """A message of its own, routed to the order service's inbox unless changed."""
    number = next(_numbers)
    fields: dict[str, object] = {
        "exchange": EVENTS,
        "routing_key": "stock.reserved.v1",
        "body": f"body {number}".encode(),
        "message_id": f"message-{number}",
    }
    return OutgoingMessage(**(fields | changes))  # type: ignore[arg-type]  # fields by name, as a builder takes them


async def connected(transport: Transport, *, timeout: float = 30.0) -> Transport:
    """The transport, started and connected."""
    await transport.start()
    await wait_until(
        lambda: transport.health().publisher_connected, timeout=timeout, message=f"not connected: {transport.health()}"
    )
    return transport


async def publish_until_certain(transport: Transport, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
    """Publish as a relay does: what has no certain outcome again, a few times."""
    results: dict[str, PublishResult] = {}
    for _ in range(4):
        pending = [m for m in messages if m.message_id not in results]
        answers = zip(pending, await transport.publish(pending), strict=True)
        results |= {m.message_id: answer for m, answer in answers if answer.outcome is not Outcome.UNKNOWN}
        await connected(transport)
    return [results[message.message_id] for message in messages]


async def live(transport: Transport, queue: str, *, prefetch: int = 10) -> Subscription:
    """A subscription the broker knows of."""
    subscription = transport.subscribe(queue, prefetch=prefetch)
    await wait_until(lambda: subscription.live, message=f"no consumer of {queue}: {transport.health()}")
    return subscription


async def receive(subscription: Subscription, how_many: int) -> list[Delivery]:
    """Exactly so many deliveries, unsettled."""
    received: list[Delivery] = []
    while len(received) < how_many:
        received += await subscription.receive(how_many - len(received))
    return received
