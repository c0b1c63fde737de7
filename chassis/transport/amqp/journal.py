"""Reading the journal: every event ever published, in order, from any point on. Reading removes nothing."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from chassis.topology import JOURNAL
from chassis.transport.amqp.link import LinkLostError, describe, open_link, wait_first
from chassis.transport.amqp.subscription import delivery_from
from chassis.transport.base import Delivery

logger = logging.getLogger(__name__)

PREFETCH = 1000
ACK_EVERY = 100
GIVE_UP_SECONDS = 60.0
RETRY_SECONDS = 0.5
_SILENCE_SECONDS = 0.5
_LAST_CHUNK_SECONDS = 2.0
"""On a busy journal there is no silence: new events would be waited for without end."""

Offset = int | str | datetime


class JournalUnavailableError(Exception):
    """The journal cannot be read; one sentence that says why."""


async def read_journal(url: str, offset: Offset = "first", *, queue: str = JOURNAL) -> AsyncGenerator[Delivery, None]:
    """Each event from `offset` on, then new ones as they come: it never ends.

    `offset` is "first", "last", "next", a number, or a time; from a time on some earlier events may come, too.
    Offsets rise but have gaps. To stop at what is there now, ask `journal_end` first, and `aclose` this when done.

    Raises:
        LinkLostError: there is no connection, or it was lost; go on from the last offset plus one.
    """
    with _trouble_is_loss():
        async with _reading(url, queue, offset) as reader:
            while True:
                yield await reader.next()


async def follow_journal(
    url: str, offset: Offset = "first", *, queue: str = JOURNAL, patience: float = GIVE_UP_SECONDS
) -> AsyncGenerator[Delivery, None]:
    """As `read_journal`, through lost connections: it goes on after the last event it gave, none twice, none missed.

    Raises:
        JournalUnavailableError: it could not be opened at first, or not again for `patience` seconds.
    """
    loop = asyncio.get_running_loop()
    opened, lost_at = False, 0.0
    while True:
        try:
            async with aclosing(read_journal(url, offset, queue=queue)) as deliveries:
                async for delivery in deliveries:
                    opened, lost_at = True, 0.0
                    yield delivery
                    if delivery.stream_offset is not None:
                        offset = delivery.stream_offset + 1
        except LinkLostError as error:
            lost_at = lost_at or loop.time()
            if not opened or loop.time() - lost_at > patience:
                raise JournalUnavailableError(f"the journal cannot be read: {describe(error)}") from error
            logger.info("the journal was lost, going on at %s: %s", offset, describe(error))
            await asyncio.sleep(RETRY_SECONDS)


async def journal_until(
    url: str, end: int, offset: Offset = "first", *, queue: str = JOURNAL
) -> AsyncGenerator[Delivery, None]:
    """From `offset` to the event at `end`, through lost connections; nothing, if `offset` is a time after that.

    Raises:
        JournalUnavailableError: as `follow_journal`.
    """
    async with aclosing(follow_journal(url, offset, queue=queue)) as deliveries:
        while True:
            try:
                # After a time nothing may have come; after a number up to the end something has.
                async with asyncio.timeout(_LAST_CHUNK_SECONDS if isinstance(offset, datetime) else None):
                    delivery = await anext(deliveries)
            except TimeoutError:
                return
            offset = delivery.stream_offset or 0
            if offset <= end:
                yield delivery
            if offset >= end:
                return


async def journal_end(url: str, *, queue: str = JOURNAL) -> int | None:
    """The offset of the newest event, None if the journal is empty.

    Raises:
        JournalUnavailableError: there is no broker, no journal, or no right to read it.
    """
    try:
        with _trouble_is_loss():
            async with _reading(url, queue, "last") as reader:
                return await _newest(reader)
    except LinkLostError as error:
        raise JournalUnavailableError(f"the journal cannot be read: {describe(error)}") from error


async def _newest(reader: "_Reader") -> int | None:
    """The offset of the last event of the last chunk. The chunk comes at once; what comes later is newer than now."""
    newest: int | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_CHUNK_SECONDS):
            newest = (await reader.next()).stream_offset
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    newest = (await reader.next()).stream_offset
    return newest


class _Reader:
    """Messages of one stream consumer, in order; acked in bulk, which for a stream only means: send more."""

    def __init__(self, lost: asyncio.Event) -> None:
        self._lost = lost
        self._messages: deque[AbstractIncomingMessage] = deque()
        self._arrived = asyncio.Event()
        self._taken = 0

    async def put(self, message: AbstractIncomingMessage) -> None:
        self._messages.append(message)
        self._arrived.set()

    async def next(self) -> Delivery:
        while not self._messages:
            if self._lost.is_set():
                raise LinkLostError("the connection to the journal was lost")
            self._arrived.clear()
            await wait_first(self._arrived, self._lost)
        message = self._messages.popleft()
        self._taken += 1
        if self._taken % ACK_EVERY == 0:
            await message.ack(multiple=True)
        return delivery_from(message, None)


@contextmanager
def _trouble_is_loss() -> Iterator[None]:
    """One error for whatever the client makes of a connection that cannot be had or is gone."""
    try:
        yield
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        raise LinkLostError(describe(error)) from error
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise LinkLostError("the connection was lost") from None


@asynccontextmanager
async def _reading(url: str, name: str, offset: Offset) -> AsyncIterator[_Reader]:
    async with open_link(url, f"reader of {name}") as link:
        channel: AbstractChannel = await link.connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda *_: link.closed.set())
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: link.closed.set())
        await channel.set_qos(PREFETCH)
        queue: AbstractQueue = await channel.get_queue(name, ensure=False)
        reader = _Reader(link.closed)
        await queue.consume(reader.put, arguments={"x-stream-offset": offset})
        yield reader
