"""What every service tells an auditor about its messages: what waits, what was sent, what was received."""

from datetime import datetime

import sqlalchemy as sa

from chassis.db import Reader
from chassis.fields import Answer
from chassis.unit_of_work import RuntimeTables


class OutboxFigures(Answer):
    """`pending` rows wait for the broker's confirm, `parked` ones for an operator."""

    pending: int
    parked: int
    oldest_pending_at: datetime | None


class MessageFigures(Answer):
    """Events by type: `sent` are those the broker confirmed, `received` those whose effect is committed here."""

    outbox: OutboxFigures
    sent: dict[str, int]
    received: dict[str, int]


async def message_figures(reader: Reader, tables: RuntimeTables) -> MessageFigures:
    """The figures of one service's outbox and inbox, as far back as they are kept."""
    o = tables.outbox.c
    waiting = sa.select(
        sa.func.count().filter(o.parked_at.is_(None)).label("pending"),
        sa.func.count().filter(o.parked_at.isnot(None)).label("parked"),
        sa.func.min(o.created_at).filter(o.parked_at.is_(None)).label("oldest_pending_at"),
    ).where(o.published_at.is_(None))
    sent = sa.select(o.type.label("name"), sa.func.count().label("rows")).where(o.published_at.isnot(None))
    received = sa.select(tables.inbox.c.type.label("name"), sa.func.count().label("rows"))
    outbox = await reader.first(waiting)
    return MessageFigures(
        outbox=OutboxFigures.model_validate(dict(outbox or {})),
        sent=await _by_type(reader, sent.group_by("name")),
        received=await _by_type(reader, received.group_by("name")),
    )


async def _by_type(reader: Reader, statement: sa.Select[tuple[str, int]]) -> dict[str, int]:
    return {row["name"]: row["rows"] for row in await reader.all(statement.order_by("name"))}
