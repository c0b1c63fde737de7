"""One open connection to RabbitMQ and the news of its end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 12
"""A stuck peer is noticed after about three of these; the default of 60 would take minutes."""

CONNECT_SECONDS = 5.0
RPC_SECONDS = 10.0
CLOSE_SECONDS = 3.0
_BLOCKED_PROBE_SECONDS = 0.01


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


@asynccontextmanager
async def open_link(url: str, name: str) -> AsyncIterator[Link]:
    """A plain connection under `name` (shown in the management UI), closed at the end, whatever state it is in.

    Raises:
        Exception: whatever aio-pika raises when it cannot connect.
    """
    connection = await aio_pika.connect(
        url,
        timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        client_properties={"connection_name": name},
    )
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


async def _close(connection: AbstractConnection, name: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
    except Exception as error:  # a peer that no longer answers cannot spoil our leaving
        logger.debug("%s: closing: %s", name, describe(error))
