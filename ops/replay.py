"""Sending events from a file again, to one service's inbox or to the bus. Ids stay, so what was handled is known.

All lines are read and checked before anything is sent. What is sent twice is harmless; what a service has not handled
takes effect as if it came now.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yarl import URL

from chassis.topology import EVENTS, OPERATOR_USER, inbox_queue, shop_topology
from chassis.transport import Outcome, OutgoingMessage, Transport
from chassis.transport.amqp import AmqpTransport
from contracts.envelope import Envelope, UndecodableEventError, decode
from contracts.registry import SERVICES, typed
from ops.config import ShopConfig
from ops.journal import journal_url

BATCH: Final = 200
CONNECT_TRIES: Final = 200
POLL_SECONDS: Final = 0.05


class BadEventsError(Exception):
    """The file cannot be sent; one line for each bad line."""


class NotSentError(Exception):
    """The broker did not take everything; the message says how much and why. Sending the file again is harmless."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One event and the bytes it goes out as: those of the file."""

    envelope: Envelope
    body: bytes


def read_events(path: Path) -> list[Letter]:
    """The events of a file of JSON Lines; blank lines and those that begin with `#` are for people.

    Raises:
        BadEventsError: no file, no events, or a line that is not an event of the shop.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadEventsError(f"{path} cannot be read: {error.strerror}") from error
    letters: list[Letter] = []
    bad: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            envelope = decode(line)
            typed(envelope)
            letters.append(Letter(envelope, line.strip()))
        except UndecodableEventError as error:
            bad.append(f"{path}:{number}: {error}")
    if bad or not letters:
        raise BadEventsError("\n".join(bad) or f"{path} has no events in it")
    return letters


def read_by(service: str, letters: Sequence[Letter]) -> list[Letter]:
    """Those a service has a handler for; the others would only become its dead letters."""
    names = {event.wire_name for event in SERVICES[service].reads}
    return [letter for letter in letters if letter.envelope.type in names]


async def send(transport: Transport, letters: Sequence[Letter], service: str | None) -> None:
    """Publish in order, to the service's inbox or, for None, to the bus. Returns when all are confirmed.

    Raises:
        NotSentError: the broker did not take one of them; those after it in the file may or may not have been sent.
    """
    sent = 0
    for start in range(0, len(letters), BATCH):
        some = letters[start : start + BATCH]
        results = await transport.publish([_message(letter, service) for letter in some])
        refused = [(e, r) for e, r in zip(some, results, strict=True) if r.outcome is not Outcome.ACK]
        sent += len(some) - len(refused)
        if refused:
            letter, result = refused[0]
            raise NotSentError(
                f"{sent} of {len(letters)} events were sent, but not {letter.envelope.type} {letter.envelope.id}: "
                f"{result.outcome.value}, {result.reason}"
            )


@asynccontextmanager
async def operators_transport(url: str) -> AsyncIterator[Transport]:
    """A connection to the broker that may publish anywhere.

    Raises:
        NotSentError: it cannot be had.
    """
    transport = AmqpTransport(url, shop_topology(), service=OPERATOR_USER)
    await transport.start()
    try:
        for _ in range(CONNECT_TRIES):
            if transport.health().publisher_connected:
                break
            await asyncio.sleep(POLL_SECONDS)
        health = transport.health()
        if not health.publisher_connected:
            raise NotSentError(f"nothing was sent: {health.topology_error or health.last_error or 'no connection'}")
        yield transport
    finally:
        await transport.stop()


def operator_url(config: ShopConfig, state: Mapping[str, Any]) -> str:
    """The running shop's broker with the operator's login: the address is where the shop runs, the password is in
    `secrets.json` beside it. A broker given by AMQP_URL has one login for everything.

    Raises:
        NoJournalError: the shop runs without a broker.
    """
    address = journal_url(state)
    if "management" not in state:
        return address
    return str(URL(address).with_user(OPERATOR_USER).with_password(config.secrets.broker[OPERATOR_USER]))


def _message(letter: Letter, service: str | None) -> OutgoingMessage:
    envelope = letter.envelope
    return OutgoingMessage(
        exchange=EVENTS if service is None else "",
        routing_key=envelope.type if service is None else inbox_queue(service),
        body=letter.body,
        message_id=str(envelope.id),
        type=envelope.type,
        app_id=OPERATOR_USER,
        correlation_id=str(envelope.correlationid),
        timestamp=envelope.time,
    )
