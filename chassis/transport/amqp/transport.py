"""The transport port on RabbitMQ: a publishing connection, and one more for each subscription."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count

from chassis.clock import Clock, SystemClock
from chassis.supervisor import Supervisor
from chassis.topology import Topology
from chassis.transport.amqp.browse import AmqpBrowse, browse, depths
from chassis.transport.amqp.link import addresses
from chassis.transport.amqp.publisher import Publisher
from chassis.transport.amqp.subscription import AmqpSubscription
from chassis.transport.base import OutgoingMessage, PublishResult, QueueDepth, TransportHealth


class AmqpTransport:
    """A service's connections to RabbitMQ, each supervised on its own.

    Publishing and consuming are apart because a broker under alarm stops reading from connections that publish.
    The whole `topology` must be there before anything is published; it is only ever checked, never declared.
    """

    def __init__(self, url: str, topology: Topology, *, service: str, clock: Clock | None = None) -> None:
        self._url = url
        self._service = service
        self._publisher = Publisher(
            url, topology, name=f"{service} publisher", user=addresses(url)[0].user, clock=clock or SystemClock()
        )
        self._subscriptions: list[AmqpSubscription] = []
        self._numbers = count(1)
        self._started = False

    async def start(self) -> None:
        self._started = True
        for supervisor in self._supervisors():
            supervisor.start()

    async def stop(self) -> None:
        self._started = False
        await asyncio.gather(*(subscription.stop() for subscription in self._subscriptions))
        await asyncio.gather(*(subscription.close() for subscription in self._subscriptions))
        await self._publisher.stop()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        return await self._publisher.publish(messages)

    def subscribe(self, queue: str, *, prefetch: int) -> AmqpSubscription:
        name = f"{self._service} consumer {next(self._numbers)} of {queue}"
        subscription = AmqpSubscription(self._url, queue, prefetch, name=name)
        self._subscriptions.append(subscription)
        if self._started:
            subscription.supervisor.start()
        return subscription

    def browse(self, queue: str, *, limit: int, max_bytes: int) -> AbstractAsyncContextManager[AmqpBrowse]:
        return browse(self._url, queue, name=f"{self._service} look at {queue}", limit=limit, max_bytes=max_bytes)

    async def depths(self, queues: Sequence[str]) -> list[QueueDepth]:
        return await depths(self._url, queues, name=f"{self._service} counts")

    def health(self) -> TransportHealth:
        problems = (self._publisher.topology_error, *(each.topology_error for each in self._subscriptions))
        supervisors = self._supervisors()
        return TransportHealth(
            publisher_connected=self._publisher.connected,
            blocked_since=self._publisher.blocked_since,
            topology_error=next((problem for problem in problems if problem), None),
            reconnects=sum(supervisor.reconnects for supervisor in supervisors),
            last_error=next((each.last_error for each in supervisors if each.last_error), ""),
        )

    def _supervisors(self) -> list[Supervisor]:
        return [self._publisher.supervisor, *(each.supervisor for each in self._subscriptions)]
