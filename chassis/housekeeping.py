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


def housekeeping(tables: RuntimeTables, writer: Writer[Any], clock: Clock, retention: Retention) -> list[Sweep]:
    """The prunes of one service. Only published outbox rows go; what is unsent or parked stays for ever."""
    outbox, inbox, keys, discards = tables.outbox, tables.inbox, tables.idempotency, tables.discards

    def prune(
        name: str, table: sa.Table, column: sa.Column[Any], age: timedelta, extra: sa.ColumnElement[bool] | None = None
    ) -> Sweep:
        key = [*table.primary_key.columns]

        def statement(before: datetime) -> sa.Delete:
            due = column < before if extra is None else sa.and_(column < before, extra)
            return table.delete().where(sa.tuple_(*key).in_(sa.select(*key).where(due).limit(CHUNK)))

        return Sweep(name, PRUNE_EVERY, _in_chunks(writer, lambda: statement(clock.now() - age)))

    return [
        prune("prune_outbox", outbox, outbox.c.published_at, retention.outbox, outbox.c.published_at.isnot(None)),
        prune("prune_inbox", inbox, inbox.c.handled_at, retention.inbox),
        prune("prune_discarded_letters", discards, discards.c.discarded_at, retention.inbox),
        prune("prune_idempotency_keys", keys, keys.c.created_at, retention.idempotency_keys),
    ]


def _in_chunks(writer: Writer[Any], statement: Callable[[], sa.Delete]) -> Callable[[], Awaitable[int]]:
    async def delete_chunk(uow: UnitOfWork) -> int:
        return await uow.execute(statement())

    async def run() -> int:
        total = 0
        while (deleted := await writer.run_now(delete_chunk)) > 0:
            total += deleted
        return total

    return run
