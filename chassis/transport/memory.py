"""The broker in this process's memory: for tests, for seeded simulation and for running the shop without RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chassis.transport.base import (
    BrokerUnavailableError,
    Delivery,
    Outcome,
    OutgoingMessage,
    PublishResult,
    QueueDepth,
    SubscriptionClosedError,
    TransportHealth,
)
from chassis.transport.memory_broker import MemoryBroker, StoredMessage, Unsettled

__all__ = ["MemoryBroker", "MemoryBrowse", "MemorySubscription", "MemoryTransport"]


class MemoryTransport:
    """A service's connection to a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, service: str) -> None:
        self.service = service
        self._broker = broker
        self._started = False
        self._subscriptions: list[MemorySubscription] = []

    async def start(self) -> None:
        if not self._started:
            self._started = True
            self._broker.watch_clock()
            self._broker.changed()

    async def stop(self) -> None:
        if not self._started:
            return
        self._started = False
        self._broker.unwatch_clock()
        for subscription in self._subscriptions:
            self._broker.give_back_all(subscription)
            await subscription.stop()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        await asyncio.sleep(0)  # others get a turn, as they do while a real broker answers
        if not self.connected:
            return [PublishResult(Outcome.UNKNOWN, "not connected")] * len(messages)
        return [self._broker.publish(message) for message in messages]

    def subscribe(self, queue: str, *, prefetch: int) -> "MemorySubscription":
        subscription = MemorySubscription(self, self._broker, queue, prefetch)
        self._subscriptions.append(subscription)
        self._broker.know_consumer(subscription)
        return subscription

    @asynccontextmanager
    async def browse(self, queue: str, *, limit: int, max_bytes: int) -> "AsyncIterator[MemoryBrowse]":
        if not self.connected:
            raise BrokerUnavailableError("not connected")
        if not self._broker.has_queue(queue):
            raise BrokerUnavailableError(f"queue '{queue}' does not exist on the broker")
        browse = MemoryBrowse(self, self._broker, queue)
        browse.hold(limit, max_bytes)
        try:
            yield browse
        finally:
            browse.give_back()

    async def depths(self, queues: Sequence[str]) -> list[QueueDepth]:
        if not self.connected:
            raise BrokerUnavailableError("not connected")
        for queue in queues:
            if not self._broker.has_queue(queue):
                raise BrokerUnavailableError(f"queue '{queue}' does not exist on the broker")
        return [QueueDepth(queue, len(self._broker.ready(queue)), self._broker.consumers(queue)) for queue in queues]

    def health(self) -> TransportHealth:
        return TransportHealth(
            publisher_connected=self.connected,
            blocked_since=self._broker.blocked_since,
            topology_error=self._topology_error(),
            reconnects=self._broker.disconnections(self.service),
        )

    @property
    def connected(self) -> bool:
        return self._started and self._broker.reachable_by(self.service)

    def _topology_error(self) -> str | None:
        for subscription in self._subscriptions:
            if not self._broker.has_queue(subscription.queue):
                return f"queue '{subscription.queue}' does not exist on the broker"
        return None


class MemorySubscription:
    """A consumer of one queue. Takes messages from the queue when asked, never ahead of that."""

    def __init__(self, transport: MemoryTransport, broker: MemoryBroker, queue: str, prefetch: int) -> None:
        self.queue = queue
        self.service = transport.service
        self.prefetch = prefetch
        self._transport = transport
        self._broker = broker
        self._stopped = False

    async def receive(self, limit: int) -> list[Delivery]:
        while True:
            changed = self._broker.change_event()
            if self._stopped:
                raise SubscriptionClosedError(self.queue)
            if self.live and (taken := self._broker.take(self, min(limit, self._room()))):
                return [_delivery(message, handle) for message, handle in taken]
            await changed.wait()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._broker.settle(delivery.handle)

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        self._broker.give_back([delivery.handle for delivery in deliveries])

    async def stop(self) -> None:
        self._stopped = True
        self._broker.changed()

    @property
    def live(self) -> bool:
        return not self._stopped and self._transport.connected and self._broker.has_queue(self.queue)

    def _room(self) -> int:
        return self.prefetch - self._broker.held_by(self)


class MemoryBrowse:
    """What somebody looks at."""

    prefetch = 0

    def __init__(self, transport: MemoryTransport, broker: MemoryBroker, queue: str) -> None:
        self.queue = queue
        self.service = transport.service
        self.held: list[Delivery] = []
        self.behind = 0
        self._transport = transport
        self._broker = broker

    def hold(self, limit: int, max_bytes: int) -> None:
        size = 0
        while len(self.held) < limit and size < max_bytes and (taken := self._broker.take(self, 1)):
            self.held += [_delivery(message, handle) for message, handle in taken]
            size += len(self.held[-1].body)
        self.behind = len(self._broker.ready(self.queue))

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        if not self._transport.connected:
            raise BrokerUnavailableError("the connection was lost")
        for delivery in deliveries:
            self._broker.settle(delivery.handle)

    def give_back(self) -> None:
        self._broker.give_back_all(self)


def _delivery(message: StoredMessage, handle: Unsettled) -> Delivery:
    outgoing = message.outgoing
    return Delivery(
        body=outgoing.body,
        message_id=outgoing.message_id,
        type=outgoing.type or None,
        correlation_id=outgoing.correlation_id or None,
        exchange=outgoing.exchange,
        routing_key=outgoing.routing_key,
        headers=message.headers(),
        redelivered=message.deliveries > 0,
        delivery_count=message.deliveries,
        handle=handle,
    )
