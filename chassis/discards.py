"""What operators threw away: a discarded dead letter is remembered, so that no event is ever just missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.db import Reader, UtcDateTime
from chassis.sessions import Connection

MAX_LETTER_ID = 128
MAX_TYPE = 80
MAX_REASON = 200


def discards_table(metadata: sa.MetaData) -> sa.Table:
    """One row per discarded letter; `event_id` is null for what never was an event. Kept as long as inbox ids."""
    return sa.Table(
        "discarded_letters",
        metadata,
        sa.Column("id", sa.String(MAX_LETTER_ID), primary_key=True),
        sa.Column("event_id", sa.Uuid, index=True),
        sa.Column("type", sa.String(MAX_TYPE), nullable=False),
        sa.Column("reason", sa.String(MAX_REASON), nullable=False),
        sa.Column("discarded_by", sa.Uuid, nullable=False),
        sa.Column("discarded_at", UtcDateTime, nullable=False, index=True),
    )


@dataclass(frozen=True, slots=True)
class Discard:
    """That a letter is to be thrown away: which event it holds, if any, by whom and why."""

    id: str
    event_id: UUID | None
    type: str
    reason: str
    by: UUID


async def record(connection: Connection, table: sa.Table, discards: Sequence[Discard], now: datetime) -> None:
    """Write them down; what was written down before stays as it was."""
    rows = [
        {
            "id": discard.id,
            "event_id": discard.event_id,
            "type": discard.type,
            "reason": discard.reason,
            "discarded_by": discard.by,
            "discarded_at": now,
        }
        for discard in {discard.id: discard for discard in discards}.values()
    ]
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    await connection.execute(insert(table).on_conflict_do_nothing(), rows)


async def discarded_events(reader: Reader, table: sa.Table) -> dict[str, list[UUID]]:
    """For the audit: ids of the events whose letter was discarded, by type, each once, as far back as they are kept.

    Such an event was sent and is received by nobody, on purpose. One that is in the inbox as well was handled all the
    same (a copy of it was redriven) and counts as received.
    """
    t = table.c
    rows = await reader.all(sa.select(t.type, t.event_id).where(t.event_id.isnot(None)).distinct().order_by(t.event_id))
    found: dict[str, list[UUID]] = {}
    for row in rows:
        found.setdefault(row["type"], []).append(row["event_id"])
    return found
