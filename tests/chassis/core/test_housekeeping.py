"""What grows by itself is pruned: each record after its time, and never one that is still needed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from chassis.runtime import Runtime
from tests.support.clocks import START, ManualClock
from tests.support.toy import TABLES, ToyUnitOfWork


async def fill(runtime: Runtime[ToyUnitOfWork], table: sa.Table, rows: list[dict[str, Any]]) -> None:
    async def insert(uow: ToyUnitOfWork) -> None:
        for row in rows:
            await uow.execute(table.insert().values(row))

    await runtime.writer.run_now(insert)


async def prune(runtime: Runtime[ToyUnitOfWork], table: sa.Table) -> set[str]:
    """Run every prune; what is left, by the name each row was given."""
    for sweep in runtime.sweeper.sweeps:
        if sweep.name.startswith("prune_"):
            await runtime.sweeper.run_once(sweep)
    return {row["type"] for row in await runtime.reader.all(sa.select(table.c.type))}


async def test_ids_of_handled_events_and_discarded_letters_go_after_thirty_days(
    runtime: Runtime[ToyUnitOfWork], clock: ManualClock
) -> None:
    clock.advance(timedelta(days=31))
    ages = {"old": START, "young": START + timedelta(days=2)}
    handled = [{"event_id": uuid4(), "type": name, "handled_at": at} for name, at in ages.items()]
    discarded = [
        {"id": name, "type": name, "reason": "test", "discarded_by": uuid4(), "discarded_at": at}
        for name, at in ages.items()
    ]
    await fill(runtime, TABLES.inbox, handled)
    await fill(runtime, TABLES.discards, discarded)
    assert await prune(runtime, TABLES.inbox) == {"young"}
    assert await prune(runtime, TABLES.discards) == {"young"}


async def test_of_the_outbox_only_what_was_sent_goes(runtime: Runtime[ToyUnitOfWork], clock: ManualClock) -> None:
    clock.advance(timedelta(days=100))
    marks: dict[str, dict[str, Any]] = {
        "sent long ago": {"published_at": START},
        "sent lately": {"published_at": clock.now() - timedelta(days=6)},
        "unsent": {},
        "parked": {"parked_at": START},
    }
    row = {"aggregate_id": "1", "aggregate_version": 1, "body": "{}", "created_at": START, "available_at": START}
    rows = [
        {**row, "event_id": uuid4(), "correlation_id": uuid4(), "attempts": 0, "type": name, **mark}
        for name, mark in marks.items()
    ]
    await fill(runtime, TABLES.outbox, rows)
    assert await prune(runtime, TABLES.outbox) == {"sent lately", "unsent", "parked"}
