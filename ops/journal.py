"""Asking the journal: the events that a selection meets, as lines for people and as the fixture files of tests."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final
from uuid import UUID

from rich.text import Text

from chassis.transport import Delivery
from chassis.transport.amqp import follow_journal, journal_end, journal_until
from chassis.transport.amqp.journal import Offset
from contracts.envelope import Envelope, UndecodableEventError, decode
from ops.console import COLOURS

MAX_ABOUT: Final = 100


class NoJournalError(Exception):
    """This shop keeps no journal; the message says why."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted: those that meet everything that is given. `type` may have `*` in it."""

    order: UUID | None = None
    subject: str | None = None
    id: UUID | None = None
    type: str | None = None
    service: str | None = None
    since: datetime | None = None

    def meets(self, envelope: Envelope) -> bool:
        return all(
            (
                self.order in (None, envelope.correlationid),
                self.subject in (None, envelope.subject),
                self.id in (None, envelope.id),
                self.service in (None, envelope.source.strip("/")),
                self.type is None or _is_of_type(envelope.type, self.type),
                self.since is None or envelope.time >= self.since,
            )
        )

    def may_meet(self, body: bytes) -> bool:
        """A cheap look before the body is decoded: ids are in it as they are."""
        return all(id is None or str(id).encode() in body for id in (self.order, self.id))


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place in the journal."""

    offset: int
    envelope: Envelope
    body: bytes

    @property
    def line(self) -> str:
        """The event as it was published, on one line."""
        return json.dumps(json.loads(self.body), ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True)
class Oddities:
    """What was passed over: offsets of entries that are no events, and how often an event came again."""

    undecodable: list[int] = field(default_factory=list)
    repeated: int = 0


def journal_url(state: Mapping[str, Any]) -> str:
    """Where the journal of this running shop is, with a login that may read it.

    Raises:
        NoJournalError: there is none.
    """
    amqp = state.get("amqp")
    if amqp is None:
        raise NoJournalError("This shop runs without a broker (EMBEDDED=1), so it keeps no journal.")
    url: str = amqp["monitoring"]
    return url


async def search_journal(
    url: str, selection: Selection, offset: Offset | None = None, *, oddities: Oddities | None = None
) -> AsyncGenerator[Entry, None]:
    """What the journal holds now, each event once, in its order. Start at `offset`, or where `since` says.

    Raises:
        JournalUnavailableError: it cannot be read.
    """
    end = await journal_end(url)
    if end is None:
        return
    seen: set[UUID] = set()
    oddities = oddities or Oddities()
    async with aclosing(journal_until(url, end, offset or selection.since or "first")) as deliveries:
        async for delivery in deliveries:
            entry = _select(delivery, selection, oddities)
            if entry is not None and entry.envelope.id in seen:
                oddities.repeated += 1
            elif entry is not None:
                seen.add(entry.envelope.id)
                yield entry


async def last_entries(url: str, selection: Selection, count: int, oddities: Oddities) -> tuple[list[Entry], int]:
    """The last `count` that are wanted, and the offset to go on from. Looks back further until there are enough.

    Raises:
        JournalUnavailableError: it cannot be read.
    """
    end = await journal_end(url)
    if end is None or count == 0:
        return [], -1 if end is None else end
    window = 2 * count + 100
    while True:
        start = max(0, end - window)
        found: deque[Entry] = deque(maxlen=count)
        passed_over = Oddities()
        async with aclosing(journal_until(url, end, start)) as deliveries:
            async for delivery in deliveries:
                if (entry := _select(delivery, selection, passed_over)) is not None:
                    found.append(entry)
        if len(found) == count or start == 0:
            oddities.undecodable += passed_over.undecodable
            return list(found), end
        window *= 10


async def new_entries(
    url: str, selection: Selection, after: int, oddities: Oddities | None = None
) -> AsyncGenerator[Entry, None]:
    """Those to come, without end.

    Raises:
        JournalUnavailableError: it cannot be read.
    """
    async with aclosing(follow_journal(url, after + 1)) as deliveries:
        async for delivery in deliveries:
            if (entry := _select(delivery, selection, oddities or Oddities())) is not None:
                yield entry


def entry_line(entry: Entry) -> Text:
    """Time, service, type, subject and what it says."""
    envelope = entry.envelope
    service = envelope.source.strip("/")
    line = Text(envelope.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " ", style="dim")
    line.append(f"{service:<8}", style=COLOURS.get(service, "white"))
    line.append(f"{envelope.type:<27} ")
    line.append(f"{envelope.subject}  ", style="bold")
    return line.append(about(envelope), style="dim")


def about(envelope: Envelope) -> str:
    """The fields of an event in one short line, without the subject, which stands before it."""
    parts = (f"{name}={_plain(value)}" for name, value in envelope.data.items() if value != envelope.subject)
    text = " ".join(parts)
    return text if len(text) <= MAX_ABOUT else text[: MAX_ABOUT - 1] + "…"


def _plain(value: Any) -> str:
    match value:
        case {"amount": int(amount), "currency": str(currency)}:
            return f"{amount / 100:.2f} {currency}"
        case {"sku": str(sku), "quantity": int(quantity)}:
            return f"{quantity}x{sku}"
        case dict():
            return ",".join(f"{name}:{_plain(item)}" for name, item in value.items())
        case list():
            return "+".join(_plain(item) for item in value)
        case _:
            return str(value)


def _select(delivery: Delivery, selection: Selection, oddities: Oddities) -> Entry | None:
    if not selection.may_meet(delivery.body):
        return None
    offset = delivery.stream_offset or 0
    try:
        envelope = decode(delivery.body)
    except UndecodableEventError:
        oddities.undecodable.append(offset)
        return None
    return Entry(offset, envelope, delivery.body) if selection.meets(envelope) else None


def _is_of_type(type: str, wanted: str) -> bool:
    """`order.paid` is `order.paid.v1`, too; `order.*` all of order's."""
    return fnmatchcase(type, wanted) or fnmatchcase(type.rpartition(".")[0], wanted)


def moment(text: str, now: datetime) -> datetime:
    """`10m` ago (s, m, h, d), or an ISO time; one without a zone is UTC.

    Raises:
        ValueError: it is neither.
    """
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1:] in units:
        return now - timedelta(**{units[text[-1]]: int(text[:-1])})
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
