"""Looking at a queue: a connection for the moment, messages fetched and not settled, and all of them put back.

A quorum queue hands out what was put back before anything else, in the order in which it was put back. So looking
changes nothing but the broker's count of deliveries, as long as every look goes at least as far as those before it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from chassis.transport.amqp.link import RPC_SECONDS, describe, open_link
from chassis.transport.amqp.subscription import delivery_from
from chassis.transport.base import BrokerUnavailableError, Delivery, QueueDepth

logger = logging.getLogger(__name__)

FETCH_SECONDS = 30.0


@contextlib.asynccontextmanager
async def browse(url: str, queue: str, *, name: str, limit: int, max_bytes: int) -> "AsyncIterator[AmqpBrowse]":
    """Hold the first messages of a queue; see the port."""
    async with contextlib.AsyncExitStack() as stack:
        with _unavailable(queue):
            async with asyncio.timeout(FETCH_SECONDS):
                link = await stack.enter_async_context(open_link(url, name))
                channel = await link.connection.channel(publisher_confirms=False)
                looking = AmqpBrowse(channel, queue)
                await looking.hold(limit, max_bytes)
        try:
            yield looking
        finally:
            await looking.give_back()


async def depths(url: str, queues: Sequence[str], *, name: str) -> list[QueueDepth]:
    """The broker's answer to a passive declaration: it changes nothing and needs no right on the queue."""
    found: list[QueueDepth] = []
    async with contextlib.AsyncExitStack() as stack:
        with _unavailable(queues[0] if queues else ""):
            async with asyncio.timeout(FETCH_SECONDS):
                link = await stack.enter_async_context(open_link(url, name))
                channel = await link.connection.channel(publisher_confirms=False)
                underlay = await channel.get_underlay_channel()
        for queue in queues:
            with _unavailable(queue):
                answer = await underlay.queue_declare(queue, passive=True, timeout=RPC_SECONDS)
                found.append(QueueDepth(queue, answer.message_count or 0, answer.consumer_count or 0))
    return found


class AmqpBrowse:
    """Messages fetched on one channel and not settled yet; a tag is their handle."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self.held: list[Delivery] = []
        self.behind = 0
        self._channel = channel
        self._queue = queue
        self._unsettled: dict[int, None] = {}

    async def hold(self, limit: int, max_bytes: int) -> None:
        """Fetch one after the other: only so is it known when to stop."""
        queue = await self._channel.get_queue(self._queue, ensure=False)
        size = 0
        while len(self.held) < limit and size < max_bytes:
            message = await queue.get(fail=False, timeout=RPC_SECONDS)
            if message is None:
                self.behind = 0
                return
            tag = int(message.delivery_tag or 0)
            self._unsettled[tag] = None
            self.held.append(delivery_from(message, tag))
            self.behind = message.message_count or 0
            size += len(message.body)

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        with _unavailable(self._queue):
            underlay = await self._channel.get_underlay_channel()
            for delivery in deliveries:
                if isinstance(delivery.handle, int) and delivery.handle in self._unsettled:
                    await underlay.basic_ack(delivery.handle, wait=False)
                    del self._unsettled[delivery.handle]
            await self._round_trip()

    async def give_back(self) -> None:
        """Return the rest, oldest first. What cannot be returned now goes back with the connection."""
        try:
            with _unavailable(self._queue):
                underlay = await self._channel.get_underlay_channel()
                for tag in self._unsettled:
                    await underlay.basic_nack(tag, requeue=True, wait=False)
                await self._round_trip()
        except BrokerUnavailableError as error:
            logger.info("%s: left to the end of the connection: %s", self._queue, error)

    async def _round_trip(self) -> None:
        """Answered after all that was sent before: closing with settlements on the way would be an error."""
        await self._channel.set_qos(1, timeout=RPC_SECONDS)


@contextlib.contextmanager
def _unavailable(queue: str) -> Iterator[None]:
    try:
        yield
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        raise BrokerUnavailableError(f"queue '{queue}' cannot be read: {describe(error)}") from error
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise BrokerUnavailableError(f"queue '{queue}' cannot be read: the connection was lost") from None
