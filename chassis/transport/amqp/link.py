"""One open connection to RabbitMQ and the news of its end."""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection
from yarl import URL

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 12
"""A stuck peer is noticed after about three of these; the default of 60 would take minutes."""

CONNECT_SECONDS = 5.0
RPC_SECONDS = 10.0
CLOSE_SECONDS = 3.0
_BLOCKED_PROBE_SECONDS = 0.01
_BETWEEN_NODES = re.compile(r",\s*(?=amqps?://)")  # any other comma is part of a password or a virtual host


class LinkLostError(Exception):
    """The connection, or what we had on it, is gone or no longer to be trusted."""


class Link:
    """An open connection. `closed` is set when it is gone, `distrusted` when we want a new one; `reason` says why."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.closed = asyncio.Event()
        self.distrusted = asyncio.Event()
        self.reason = ""
        connection.close_callbacks.add(self._on_close)

    @property
    def usable(self) -> bool:
        return not (self.closed.is_set() or self.distrusted.is_set())

    def distrust(self, reason: str) -> None:
        """Ask for a new connection: what is in flight on this one can no longer be told apart."""
        self.reason = self.reason or reason
        self.distrusted.set()

    async def blocked(self) -> bool:
        """Whether the broker has stopped listening to us (memory or disk alarm)."""
        transport = self.connection.transport
        if transport is None or self.closed.is_set():
            return False
        try:
            async with asyncio.timeout(_BLOCKED_PROBE_SECONDS):
                await transport.connection.ready()
        except TimeoutError:
            return True
        return False

    def _on_close(self, _: object, error: BaseException | None) -> None:
        self.reason = self.reason or (describe(error) if error is not None else "the connection was closed")
        self.closed.set()


def addresses(url: str) -> list[URL]:
    """The nodes of one broker: one `amqp://` URL, or several with commas between them.

    Raises:
        ValueError: one has no host, or their logins or virtual hosts differ: messages are signed with one user.
    """
    nodes = [URL(part) for part in _BETWEEN_NODES.split(url.strip())]
    if not all(node.host for node in nodes):
        raise ValueError("an AMQP address names no host")
    if len({(node.user, node.password, node.raw_path) for node in nodes}) > 1:
        raise ValueError("the AMQP addresses of one broker have the same login and virtual host")
    return nodes


@asynccontextmanager
async def open_link(url: str, name: str) -> AsyncIterator[Link]:
    """A plain connection under `name` (shown in the management UI), closed at the end, whatever state it is in.

    Of several addresses (see `addresses`) it is to the first that answers, in an order that is drawn anew each time.

    Raises:
        ValueError: `url` is not one address, or several of one broker.
        Exception: whatever aio-pika raises when it cannot connect; of several addresses, to the last one tried.
    """
    connection = await _connect_to_any(addresses(url), name)
    try:
        yield Link(connection)
    finally:
        await _close(connection, name)


async def wait_first(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Return when one of the events is set, or after `timeout` seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def describe(error: BaseException) -> str:
    """An error as one line for a person: aio-pika has some whose text is empty."""
    return str(error) or type(error).__name__


async def _connect_to_any(nodes: list[URL], name: str) -> AbstractConnection:
    """In any order: connections spread over the nodes, and one that answers but cannot serve is not always the next."""
    *others, last = random.sample(nodes, len(nodes))
    for node in others:
        try:
            return await _connect(node, name)
        except Exception as error:  # whatever is wrong with this node, another may answer
            logger.info("%s: %s does not answer: %s", name, node.host, describe(error))
    return await _connect(last, name)


async def _connect(node: URL, name: str) -> AbstractConnection:
    return await aio_pika.connect(
        node,
        timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        client_properties={"connection_name": name},
        connection_class=_Connection,
    )


async def _close(connection: AbstractConnection, name: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
    except Exception as error:  # a peer that no longer answers cannot spoil our leaving
        logger.debug("%s: closing: %s", name, describe(error))
    finally:
        await connection.close()  # of one whose transport is gone: nothing is sent, it only counts as closed


class _Connection(aio_pika.Connection):
    """Counts as closed when it cannot connect.

    aio-pika closes what is not when it is collected as garbage, and cannot in a thread without a loop.
    """

    async def connect(self, timeout: float | None = None) -> None:
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise
