"""Consuming one queue: a connection of its own, a buffer as long as the prefetch, and settlement that is never wrong.

The client's callbacks only put messages into the buffer: whatever runs inside a callback is cancelled with its channel.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, AMQPError, ChannelInvalidStateError

from chassis.supervisor import Healthy, Supervisor
from chassis.transport.amqp.link import CLOSE_SECONDS, RPC_SECONDS, Link, LinkLostError, describe, open_link, wait_first
from chassis.transport.amqp.topology import missing_queue
from chassis.transport.base import Delivery, SubscriptionClosedError

logger = logging.getLogger(__name__)

MISSING_QUEUE_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Handle:
    """Where to settle a delivery: a tag means something on its own channel only."""

    consumer: "_Consumer"
    tag: int


class _Consumer:
    """One consumer tag on one channel."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self.lost = asyncio.Event()
        self.unsettled: dict[int, None] = {}
        self._channel = channel
        self._queue = queue
        self._tag = ""
        channel.close_callbacks.add(lambda *_: self.lost.set())

    async def start(self, on_message: Callable[[Delivery], Awaitable[None]]) -> None:
        async def enqueue(message: AbstractIncomingMessage) -> None:
            tag = int(message.delivery_tag or 0)
            self.unsettled[tag] = None
            await on_message(delivery_from(message, _Handle(self, tag)))

        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self.lost.set())
        self._tag = await self._queue.consume(enqueue)

    @property
    def live(self) -> bool:
        return bool(self._tag) and not self.lost.is_set() and not self._channel.is_closed

    async def cancel(self) -> None:
        """Ask for no more; what was received can still be settled."""
        tag, self._tag = self._tag, ""
        await self._queue.cancel(tag, timeout=RPC_SECONDS)

    async def ack(self, tags: Iterable[int]) -> None:
        """Ack these: in one frame as far as nothing older is unsettled, then one by one."""
        wanted = {tag for tag in tags if tag in self.unsettled}
        last_of_prefix = 0
        for tag in self.unsettled:
            if tag not in wanted:
                break
            last_of_prefix = tag
        underlay = await self._channel.get_underlay_channel()
        if last_of_prefix:
            await underlay.basic_ack(last_of_prefix, multiple=True)
        for tag in sorted(tag for tag in wanted if tag > last_of_prefix):
            await underlay.basic_ack(tag, wait=False)
        self._forget(wanted)

    async def requeue(self, tags: Iterable[int]) -> None:
        wanted = {tag for tag in tags if tag in self.unsettled}
        underlay = await self._channel.get_underlay_channel()
        for tag in sorted(wanted):
            await underlay.basic_nack(tag, requeue=True, wait=False)
        self._forget(wanted)

    async def close(self) -> None:
        """Close the channel after a round trip: closing it with acks on the way would cost the connection."""
        await self._channel.set_qos(1, timeout=RPC_SECONDS)
        await self._channel.close()

    def _forget(self, tags: Iterable[int]) -> None:
        for tag in tags:
            self.unsettled.pop(tag, None)


class AmqpSubscription:
    """The port's subscription; reconnects on its own until stopped."""

    def __init__(self, url: str, queue: str, prefetch: int, *, name: str) -> None:
        self.queue = queue
        self.topology_error: str | None = None
        self.supervisor = Supervisor(name, self._session)
        self._url = url
        self._prefetch = prefetch
        self._buffer: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._consumer: _Consumer | None = None
        self._stopped = False

    @property
    def live(self) -> bool:
        return not self._stopped and self._consumer is not None and self._consumer.live

    async def receive(self, limit: int) -> list[Delivery]:
        while not self._buffer:
            if self._stopped:
                raise SubscriptionClosedError(self.queue)
            self._arrived.clear()
            await self._arrived.wait()
        return [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for consumer, tags in _by_consumer(deliveries):
            with _harmless_if_gone(self.supervisor.name):
                await consumer.ack(tags)
        self._note_settled()

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        for consumer, tags in _by_consumer(deliveries):
            with _harmless_if_gone(self.supervisor.name):
                await consumer.requeue(tags)
        self._note_settled()

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        consumer = self._consumer
        if consumer is None or not consumer.live:
            await self.close()
        else:
            with _harmless_if_gone(self.supervisor.name):
                await consumer.cancel()
            await self.requeue(self._take_buffer())
        self._arrived.set()

    async def close(self) -> None:
        """End at once; what is not settled comes again."""
        self._stopped = True
        self._take_buffer()
        self._arrived.set()
        if self._settled.is_set():
            await self.supervisor.join(CLOSE_SECONDS)
        await self.supervisor.stop()

    async def _session(self, healthy: Healthy) -> None:
        if self._stopped:
            return
        async with open_link(self._url, self.supervisor.name) as link:
            consumer = await self._attach(link)
            healthy()
            try:
                await wait_first(link.closed, consumer.lost, self._settled)
                if self._settled.is_set() and not consumer.lost.is_set():
                    await consumer.close()
                    return
            finally:
                self._consumer = None
                self._take_buffer()
        raise LinkLostError(link.reason or f"the consumer of '{self.queue}' was cancelled")

    async def _attach(self, link: Link) -> _Consumer:
        """Become a consumer of the queue; while it is missing, say so and ask again now and then."""
        while True:
            try:
                async with asyncio.timeout(RPC_SECONDS):
                    return await self._consume(link)
            except AMQPChannelError as error:
                self._report(missing_queue(self.queue, error))
            await wait_first(link.closed, timeout=MISSING_QUEUE_RETRY_SECONDS)
            if link.closed.is_set():
                raise LinkLostError(link.reason)

    async def _consume(self, link: Link) -> _Consumer:
        channel = await link.connection.channel(publisher_confirms=False)
        await channel.set_qos(self._prefetch)
        consumer = _Consumer(channel, await channel.get_queue(self.queue, ensure=False))
        self._consumer = consumer
        await consumer.start(self._received)
        self.topology_error = None
        return consumer

    def _report(self, problem: str) -> None:
        self._consumer = None
        if problem != self.topology_error:
            logger.error("%s: %s", self.supervisor.name, problem)
        self.topology_error = problem

    async def _received(self, delivery: Delivery) -> None:
        if self._stopped:  # it was on its way when we asked for no more
            await self.requeue([delivery])
            return
        self._buffer.append(delivery)
        self._arrived.set()

    def _take_buffer(self) -> list[Delivery]:
        taken = list(self._buffer)
        self._buffer.clear()
        return taken

    def _note_settled(self) -> None:
        if self._stopped and (self._consumer is None or not self._consumer.unsettled):
            self._settled.set()


def delivery_from(message: AbstractIncomingMessage, handle: object) -> Delivery:
    """aio-pika's message as the port has it."""
    headers = dict(message.headers)
    offset = headers.get("x-stream-offset")
    count = headers.get("x-delivery-count", 0)
    return Delivery(
        body=message.body,
        message_id=message.message_id,
        type=message.type,
        correlation_id=message.correlation_id,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        headers=headers,
        redelivered=bool(message.redelivered),
        delivery_count=count if isinstance(count, int) else 0,
        stream_offset=offset if isinstance(offset, int) else None,
        handle=handle,
    )


def _by_consumer(deliveries: Sequence[Delivery]) -> list[tuple[_Consumer, list[int]]]:
    """The tags of each consumer: a batch may hold deliveries from before and after a reconnect."""
    groups: dict[_Consumer, list[int]] = {}
    for delivery in deliveries:
        if isinstance(delivery.handle, _Handle):
            groups.setdefault(delivery.handle.consumer, []).append(delivery.handle.tag)
    return list(groups.items())


@contextlib.contextmanager
def _harmless_if_gone(name: str) -> Iterator[None]:
    """What cannot be settled any more comes again: that is no error of the caller."""
    try:
        yield
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        logger.info("%s: could not settle, will be redelivered: %s", name, describe(error))
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        logger.info("%s: could not settle, will be redelivered: the connection was lost", name)
