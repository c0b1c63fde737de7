"""Parked events: what the broker kept refusing, taken out of the relay's way until an operator lets it try again."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from chassis.db import Reader
from chassis.fields import Answer
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer

log = structlog.get_logger()


class ParkedEvent(Answer):
    """One row of the outbox the relay has given up."""

    event_id: UUID
    type: str
    subject: str
    correlation_id: UUID
    attempts: int
    last_error: str | None
    created_at: datetime
    parked_at: datetime


class ParkedPage(Answer):
    """Parked events, oldest first; `total` of them in the outbox."""

    items: list[ParkedEvent]
    total: int


class Unparking(StrEnum):
    """What became of an event somebody asked to let go."""

    UNPARKED = "unparked"
    NOT_FOUND = "not_found"


class Unparked(Answer):
    event_id: UUID
    outcome: Unparking


class UnparkedPage(Answer):
    items: list[Unparked]


class ParkedEvents:
    """The parked rows of one service's outbox."""

    def __init__(self, outbox: sa.Table, reader: Reader, writer: Writer[Any], wake: Callable[[], None]) -> None:
        self._outbox = outbox
        self._reader = reader
        self._writer = writer
        self._wake = wake

    async def page(self, limit: int) -> ParkedPage:
        o = self._outbox.c
        rows = sa.select(
            o.event_id,
            o.type,
            o.aggregate_id.label("subject"),
            o.correlation_id,
            o.attempts,
            o.last_error,
            o.created_at,
            o.parked_at,
        )
        parked = o.parked_at.isnot(None)
        items = await self._reader.all(rows.where(parked).order_by(o.id).limit(limit))
        total = await self._reader.first(sa.select(sa.func.count().label("rows")).where(parked))
        return ParkedPage(
            items=[ParkedEvent.model_validate(dict(row)) for row in items], total=total["rows"] if total else 0
        )

    async def unpark(self, ids: Sequence[UUID] | None, by: UUID) -> UnparkedPage:
        """Let these (None: all) go out again, with all their attempts. Repeating it changes nothing."""
        o = self._outbox

        async def let_go(_: None, uow: UnitOfWork) -> set[UUID]:
            parked = o.c.parked_at.isnot(None)
            chosen = parked if ids is None else sa.and_(parked, o.c.event_id.in_(ids))
            rows = await uow.fetch(sa.select(o.c.event_id).where(chosen))
            free = {"parked_at": None, "attempts": 0, "available_at": uow.now}
            await uow.execute(o.update().where(chosen).values(free))
            return {row["event_id"] for row in rows}

        gone = await self._writer.execute(let_go, None)
        for event_id in gone:
            log.info("outbox.unparked", event_id=event_id, by=by)
        self._wake()
        wanted = sorted(gone) if ids is None else list(dict.fromkeys(ids))
        outcomes = ((id, Unparking.UNPARKED if id in gone else Unparking.NOT_FOUND) for id in wanted)
        return UnparkedPage(items=[Unparked(event_id=id, outcome=outcome) for id, outcome in outcomes])
