"""Reading the journal: every event ever published, in order, from any point on. Reading removes nothing."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from chassis.topology import JOURNAL
from chassis.transport.amqp.link import LinkLostError, open_link, wait_first
from chassis.transport.amqp.subscription import delivery_from
from chassis.transport.base import Delivery

PREFETCH = 1000
ACK_EVERY = 100
_SILENCE_SECONDS = 0.5

Offset = int | str | datetime


async def read_journal(url: str, offset: Offset = "first", *, queue: str = JOURNAL) -> AsyncGenerator[Delivery, None]:
    """Each event from `offset` on, then new ones as they come: it never ends.

    `offset` is "first", "last", "next", a number, or a time; from a time on some earlier events may come, too.
    Offsets rise but have gaps. To stop at what is there now, ask `journal_end` first, and `aclose` this when done.

    Raises:
        LinkLostError: the connection was lost; go on from the last offset plus one.
    """
    async with _reading(url, queue, offset) as reader:
        while True:
            yield await reader.next()


async def journal_end(url: str, *, queue: str = JOURNAL) -> int | None:
    """The offset of the newest event, None if the journal is empty."""
    async with _reading(url, queue, "last") as reader:
        newest: int | None = None
        try:
            while True:  # "last" is the last chunk, which comes at once and may hold many events
                async with asyncio.timeout(_SILENCE_SECONDS):
                    newest = (await reader.next()).stream_offset
        except TimeoutError:
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


@asynccontextmanager
async def _reading(url: str, name: str, offset: Offset) -> AsyncIterator[_Reader]:
    async with open_link(url, f"reader of {name}") as link:
        channel: AbstractChannel = await link.connection.channel(publisher_confirms=False)
        await channel.set_qos(PREFETCH)
        queue: AbstractQueue = await channel.get_queue(name, ensure=False)
        reader = _Reader(link.closed)
        await queue.consume(reader.put, arguments={"x-stream-offset": offset})
        yield reader
