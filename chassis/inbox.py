"""The inbox: an event id is accepted once, in the transaction of its effect, so a redelivery changes nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.db import UtcDateTime
from chassis.sessions import Connection


def inbox_table(metadata: sa.MetaData) -> sa.Table:
    """Ids of handled events. They outlive every retry, dead letter and redrive horizon (30 days by default)."""
    return sa.Table(
        "inbox",
        metadata,
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.String(80), nullable=False),
        sa.Column("handled_at", UtcDateTime, nullable=False, index=True),
    )


def attempts_table(metadata: sa.MetaData) -> sa.Table:
    """How often an event was about to be handled when the process died; see consumer.py."""
    return sa.Table(
        "inbox_attempts",
        metadata,
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
    )


async def claim(
    connection: Connection, table: sa.Table, events: Iterable[tuple[UUID, str]], now: datetime
) -> set[UUID]:
    """Insert the ids that are new and return them; the others were handled before.

    Ids are inserted in order, so that two processes with overlapping batches do not deadlock on PostgreSQL.
    """
    rows = [{"event_id": id_, "type": type_, "handled_at": now} for id_, type_ in sorted(dict(events).items())]
    if not rows:
        return set()
    statement = _claim_statement(table, connection.dialect.name)
    result: Sequence[UUID] = (await connection.execute(statement, rows)).scalars().all()
    return set(result)


@cache
def _claim_statement(table: sa.Table, dialect: str) -> sa.Executable:
    """Built once per table: to put it together costs more than SQLite takes to run it."""
    insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: sa.Executable = insert(table).on_conflict_do_nothing().returning(table.c.event_id)
    return statement
