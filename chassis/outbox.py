"""The outbox: events are rows of the transaction that caused them, so a fact and its message commit together.

Pattern: transactional outbox (Richardson, Microservices Patterns, ch. 3). The relay publishes the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from chassis.context import MessageContext
from chassis.db import BigId, UtcDateTime
from chassis.ids import Ids
from contracts.envelope import Envelope, Event, encode


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Rows are marked when confirmed and pruned after days: they are the record of what this service sent."""
    pending = sa.text("published_at IS NULL AND parked_at IS NULL")
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("type", sa.String(80), nullable=False),
        sa.Column("aggregate_id", sa.String(80), nullable=False, index=True),
        sa.Column("aggregate_version", sa.Integer, nullable=False),
        sa.Column("correlation_id", sa.Uuid, nullable=False, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("available_at", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, default=0),
        sa.Column("last_error", sa.String(500)),
        sa.Column("parked_at", UtcDateTime),
        sa.Column("published_at", UtcDateTime),
        sa.Index("ix_outbox_pending", "id", sqlite_where=pending, postgresql_where=pending),
        sa.Index("ix_outbox_published_at", "published_at"),
    )


@dataclass(frozen=True, slots=True)
class OutboxWriter:
    """Turns recorded events into outbox rows. `source` is the CloudEvents source, `/order` for order_svc."""

    source: str
    ids: Ids

    def rows(self, events: Sequence[tuple[Event, int]], context: MessageContext, now: datetime) -> list[dict[str, Any]]:
        return [self._row(event, version, context, now) for event, version in events]

    def _row(self, event: Event, version: int, context: MessageContext, now: datetime) -> dict[str, Any]:
        envelope = Envelope(
            id=self.ids.new(),
            source=self.source,
            type=event.wire_name,
            subject=event.subject,
            time=now,
            correlationid=event.conversation or context.correlation_id,
            causationid=context.causation_id,
            aggregateversion=version,
            traceparent=context.traceparent,
            data=event.model_dump(mode="json"),
        )
        return {
            "event_id": envelope.id,
            "type": envelope.type,
            "aggregate_id": envelope.subject,
            "aggregate_version": version,
            "correlation_id": envelope.correlationid,
            "body": encode(envelope).decode(),
            "created_at": now,
            "available_at": now,
            "attempts": 0,
        }
