"""Keeps the chassis' own tables small: old sent events, inbox ids, discards, idempotency keys."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from chassis.clock import Clock
from chassis.sweeps import Sweep
from chassis.unit_of_work import RuntimeTables, UnitOfWork
from chassis.writer import Writer

PRUNE_EVERY = timedelta(minutes=10)
CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each record is kept. An inbox id must outlive any retry, dead letter or replay of its event."""

    outbox: timedelta = timedelta(days=7)
    inbox: timedelta = timedelta(days=30)
    idempotency_keys: timedelta = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Prunable:
    """Rows of `table` that may go some time after `column`, if they meet `condition`."""

    name: str
    table: sa.Table
    column: sa.Column[Any]
    condition: sa.ColumnElement[bool] | None = None

    def statement(self, before: datetime) -> sa.Delete:
        """Deletes the first `CHUNK` of them, along the index of `column`."""
        key = [*self.table.primary_key.columns]
        due = self.column < before if self.condition is None else sa.and_(self.column < before, self.condition)
        return self.table.delete().where(sa.tuple_(*key).in_(sa.select(*key).where(due).limit(CHUNK)))


def prunable(tables: RuntimeTables) -> tuple[Prunable, ...]:
    """What goes of the chassis' own tables. Of the outbox what was sent: the unsent and the parked stay for ever."""
    outbox, inbox, keys, discards = tables.outbox, tables.inbox, tables.idempotency, tables.discards
    return (
        Prunable("prune_outbox", outbox, outbox.c.published_at, outbox.c.published_at.isnot(None)),
        Prunable("prune_inbox", inbox, inbox.c.handled_at),
        Prunable("prune_discarded_letters", discards, discards.c.discarded_at),
        Prunable("prune_idempotency_keys", keys, keys.c.created_at),
    )


def housekeeping(tables: RuntimeTables, writer: Writer[Any], clock: Clock, retention: Retention) -> list[Sweep]:
    """The prunes every service has."""
    ages = (retention.outbox, retention.inbox, retention.inbox, retention.idempotency_keys)
    return [prune(what, age, writer, clock) for what, age in zip(prunable(tables), ages, strict=True)]


def prune(what: Prunable, age: timedelta, writer: Writer[Any], clock: Clock) -> Sweep:
    """The sweep that deletes what is older than `age`, a chunk per transaction."""
    return Sweep(what.name, PRUNE_EVERY, _in_chunks(writer, lambda: what.statement(clock.now() - age)))


def _in_chunks(writer: Writer[Any], statement: Callable[[], sa.Delete]) -> Callable[[], Awaitable[int]]:
    async def delete_chunk(uow: UnitOfWork) -> int:
        return await uow.execute(statement())

    async def run() -> int:
        total = 0
        while (deleted := await writer.run_now(delete_chunk)) > 0:
            total += deleted
        return total

    return run
