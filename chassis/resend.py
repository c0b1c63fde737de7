"""Events that were sent and did not reach everybody: an operator has the relay send them again, from the outbox.

The broker confirms an event that any queue takes, and the journal takes all of them; a reader without its binding, or
with a purged queue, is missed by nobody but the audit. Whoever had the event drops it by its id.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from chassis.fields import Answer
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer

log = structlog.get_logger()


class Resending(StrEnum):
    """What became of an event somebody asked to send again. NOT_FOUND: never sent from here, or no longer kept."""

    RESENT = "resent"
    NOT_FOUND = "not_found"


class Resent(Answer):
    event_id: UUID
    outcome: Resending


class ResentPage(Answer):
    items: list[Resent]


class SentEvents:
    """The sent rows of one service's outbox, kept for days."""

    def __init__(self, outbox: sa.Table, writer: Writer[Any], wake: Callable[[], None]) -> None:
        self._outbox = outbox
        self._writer = writer
        self._wake = wake

    async def resend(self, ids: Sequence[UUID], by: UUID) -> ResentPage:
        """Publish these once more, to everybody. Repeating it is harmless."""
        o = self._outbox
        chosen = sa.and_(o.c.published_at.isnot(None), o.c.event_id.in_(ids))

        async def offer_again(_: None, uow: UnitOfWork) -> set[UUID]:
            rows = await uow.fetch(sa.select(o.c.event_id).where(chosen))
            await uow.execute(o.update().where(chosen).values(published_at=None, available_at=uow.now))
            return {row["event_id"] for row in rows}

        gone = await self._writer.execute(offer_again, None)
        for event_id in gone:
            log.info("outbox.resent", event_id=event_id, by=by)
        self._wake()
        outcomes = ((id, Resending.RESENT if id in gone else Resending.NOT_FOUND) for id in dict.fromkeys(ids))
        return ResentPage(items=[Resent(event_id=id, outcome=outcome) for id, outcome in outcomes])
