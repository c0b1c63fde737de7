"""What every service tells an auditor about its messages: what waits, what was sent, what was received.

Sets of ids are compared without sending them: ids are UUIDv7 and carry the time they were made, so both sides of a
message fold the ids of one type and one stretch of that time into a count and a digest. Only where two digests differ
does the auditor ask for the ids.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.engine import RowMapping

from chassis.db import Reader
from chassis.discards import discarded_events
from chassis.fields import Answer
from chassis.runtime import Runtime
from chassis.unit_of_work import RuntimeTables

CHUNK: Final = 2_000
"""Rows read at once: a few milliseconds of the event loop's time."""
MAX_LISTED: Final = 1_000
MODULUS: Final = 1 << 128
_MILLISECONDS_AT: Final = 80
"""Where a UUIDv7's time begins: above 80 bits of version and randomness."""
LAST_SECOND: Final = ((1 << 48) - 1) // 1000
"""The latest Unix time a UUIDv7 can tell."""

ItemT = TypeVar("ItemT", bound=BaseModel)


class Page(Answer, Generic[ItemT]):
    """A part of a long list in the order of its ids; give `next` back as `after` for the next part, null at the end."""

    items: list[ItemT]
    next: UUID | None


class WaitingEvent(Answer):
    """An outbox row the broker has not confirmed. `about` is its conversation: an order's id in all about the order."""

    id: UUID
    type: str
    about: UUID
    at: datetime
    attempts: int
    parked: bool
    last_error: str | None


class OutboxFigures(Answer):
    """`pending` rows wait for the broker's confirm, `parked` ones for an operator; `rows` are the oldest of both."""

    pending: int
    parked: int
    oldest_pending_at: datetime | None
    rows: list[WaitingEvent]


class MessageFigures(Answer):
    """Events by type: `sent` are those the broker confirmed, `received` those whose effect is committed here.

    As far back as each is kept, so the two sides of an old shop differ here; `/audit/messages` is what compares. Every
    event made after `kept_since` is still in the outbox: rows are pruned by when they were sent. `discarded` are events
    whose dead letter an operator threw away: nobody will ever receive them, on purpose.
    """

    kept_since: datetime
    outbox: OutboxFigures
    sent: dict[str, int]
    received: dict[str, int]
    discarded: dict[str, list[UUID]]


class Bucket(Answer):
    """The ids made from `since` (Unix seconds) on, for the length asked for: how many, and their sum modulo 2^128."""

    since: int
    count: int
    digest: str


class MessageDigests(Answer):
    """Buckets by type."""

    sent: dict[str, list[Bucket]]
    received: dict[str, list[Bucket]]


class MessageId(Answer):
    """One id. `state`: `sent`, `waiting` or `parked` in an outbox, `handled` in an inbox.

    `about` is the conversation, an order's id in all about the order; an inbox does not keep it.
    """

    id: UUID
    state: str
    at: datetime
    about: UUID | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Ids made from `since` until before `until`, both in Unix seconds; without `until`, all later ones."""

    since: int
    until: int | None = None

    def condition(self, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        later = column >= lowest_id(self.since)
        if self.until is None or self.until > LAST_SECOND:  # what an id of random bits may well claim
            return later
        return sa.and_(later, column < lowest_id(self.until))


def lowest_id(seconds: int) -> UUID:
    """No UUIDv7 made at or after this Unix time is smaller."""
    return UUID(int=min(seconds, LAST_SECOND) * 1000 << _MILLISECONDS_AT)


def made_at(event_id: UUID) -> int:
    """When a UUIDv7 was made, in Unix seconds."""
    return (event_id.int >> _MILLISECONDS_AT) // 1000


async def message_figures(runtime: Runtime[Any]) -> MessageFigures:
    """The figures of one service's outbox and inbox, as far back as they are kept."""
    reader, tables = runtime.reader, runtime.definition.tables
    o = tables.outbox.c
    sent = sa.select(o.type.label("name"), sa.func.count().label("rows")).where(o.published_at.isnot(None))
    received = sa.select(tables.inbox.c.type.label("name"), sa.func.count().label("rows"))
    return MessageFigures(
        kept_since=runtime.clock.now() - runtime.retention.outbox,
        outbox=await _outbox_figures(reader, tables),
        sent=await _by_type(reader, sent.group_by("name")),
        received=await _by_type(reader, received.group_by("name")),
        discarded=await discarded_events(reader, tables.discards),
    )


async def _outbox_figures(reader: Reader, tables: RuntimeTables) -> OutboxFigures:
    o = tables.outbox.c
    waiting = sa.select(
        sa.func.count().filter(o.parked_at.is_(None)).label("pending"),
        sa.func.count().filter(o.parked_at.isnot(None)).label("parked"),
        sa.func.min(o.created_at).filter(o.parked_at.is_(None)).label("oldest_pending_at"),
    ).where(o.published_at.is_(None))
    listed = sa.select(
        o.event_id.label("id"),
        o.type,
        o.correlation_id.label("about"),
        o.created_at.label("at"),
        o.attempts,
        o.parked_at.isnot(None).label("parked"),
        o.last_error,
    ).where(o.published_at.is_(None))
    counts = await reader.first(waiting)
    rows = await reader.all(listed.order_by(o.id).limit(MAX_LISTED))
    return OutboxFigures(**dict(counts or {}), rows=[WaitingEvent.model_validate(dict(row)) for row in rows])


async def _by_type(reader: Reader, statement: sa.Select[tuple[str, int]]) -> dict[str, int]:
    return {row["name"]: row["rows"] for row in await reader.all(statement.order_by("name"))}


async def message_digests(reader: Reader, tables: RuntimeTables, span: Span, *, bucket: int) -> MessageDigests:
    """The digests of everything sent and received in a span, per type and `bucket` seconds.

    Inbox after outbox: on a live system the difference is then rather a message under way than one from nowhere.
    """
    outbox, inbox = tables.outbox, tables.inbox
    confirmed = sa.and_(span.condition(outbox.c.event_id), outbox.c.published_at.isnot(None))
    sent = await _digests(_ids_by_type(reader, outbox, confirmed), bucket)
    received = await _digests(_ids_by_type(reader, inbox, span.condition(inbox.c.event_id)), bucket)
    return MessageDigests(sent=sent, received=received)


async def _ids_by_type(
    reader: Reader, table: sa.Table, condition: sa.ColumnElement[bool]
) -> AsyncIterator[Sequence[tuple[int, str]]]:
    """Along the unique index on `event_id`, in chunks, so that memory and each query stay small."""
    event_id = table.c.event_id
    # As the driver has it (SQLite: 32 hexadecimal digits): to make a UUID of each was measured to take twice as long
    # as all the rest together.
    statement = (
        sa.select(sa.type_coerce(event_id, sa.String).label("raw"), table.c.type)
        .where(condition, event_id > sa.bindparam("after", type_=sa.Uuid()))
        .order_by(event_id)
        .limit(CHUNK)
    )
    after = UUID(int=0)
    while rows := await reader.all(statement, {"after": after}):
        found = [(_number(row["raw"]), row["type"]) for row in rows]
        yield found
        after = UUID(int=found[-1][0])


def _number(raw: str | UUID) -> int:
    return int(raw, 16) if isinstance(raw, str) else raw.int


async def _digests(chunks: AsyncIterator[Sequence[tuple[int, str]]], bucket: int) -> dict[str, list[Bucket]]:
    """Sums are brought down to 128 bits at the end: they grow by a bit each time their number doubles."""
    length = bucket * 1000 << _MILLISECONDS_AT
    counts: Counter[tuple[str, int]] = Counter()
    sums: defaultdict[tuple[str, int], int] = defaultdict(int)
    async for chunk in chunks:
        for event_id, wire_name in chunk:
            key = (wire_name, event_id // length)
            counts[key] += 1
            sums[key] += event_id
    found: dict[str, list[Bucket]] = {}
    for (wire_name, number), count in sorted(counts.items()):
        digest = f"{sums[wire_name, number] % MODULUS:032x}"
        found.setdefault(wire_name, []).append(Bucket(since=number * bucket, count=count, digest=digest))
    return found


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list: ids after `after`, up to and with `until`, at most `limit`."""

    after: UUID | None
    until: UUID | None
    limit: int

    def of(self, statement: sa.Select[Any], column: sa.Column[Any]) -> sa.Select[Any]:
        if self.after is not None:
            statement = statement.where(column > self.after)
        if self.until is not None:
            statement = statement.where(column <= self.until)
        return statement.order_by(column).limit(self.limit)

    def next(self, ids: Sequence[UUID]) -> UUID | None:
        """Where the next part begins, None if this was the last."""
        return ids[-1] if len(ids) == self.limit else None


async def sent_ids(reader: Reader, tables: RuntimeTables, wire_name: str, span: Span, cut: Cut) -> Page[MessageId]:
    """The ids of the outbox, unconfirmed ones too: the broker may have taken those all the same."""
    o = tables.outbox.c
    state = sa.case((o.published_at.isnot(None), "sent"), (o.parked_at.isnot(None), "parked"), else_="waiting")
    columns = (o.event_id.label("id"), state.label("state"), o.created_at.label("at"), o.correlation_id.label("about"))
    statement = sa.select(*columns).where(o.type == wire_name, span.condition(o.event_id))
    return _page(await reader.all(cut.of(statement, o.event_id)), cut)


async def received_ids(reader: Reader, tables: RuntimeTables, wire_name: str, span: Span, cut: Cut) -> Page[MessageId]:
    """The ids of the inbox."""
    i = tables.inbox.c
    columns = (i.event_id.label("id"), sa.literal("handled").label("state"), i.handled_at.label("at"))
    statement = sa.select(*columns).where(i.type == wire_name, span.condition(i.event_id))
    return _page(await reader.all(cut.of(statement, i.event_id)), cut)


def _page(rows: Sequence[RowMapping], cut: Cut) -> Page[MessageId]:
    items = [MessageId.model_validate(dict(row)) for row in rows]
    return Page(items=items, next=cut.next([item.id for item in items]))
