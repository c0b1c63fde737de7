"""A rebuild runs real handlers, and one that does more than feed a projection stops it; all that is odd is counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from chassis.projections import Projection, canonical
from chassis.rebuild.journal import FileJournal, JournalUnavailableError
from chassis.rebuild.rebuild import Rebuild, Report
from chassis.rebuild.scratch import SideEffectError, scratch
from chassis.runtime import Runtime, ServiceDefinition
from chassis.unit_of_work import UnitOfWork
from contracts.envelope import Envelope, Event, encode
from contracts.order import OrderCancelled
from tests.support.clocks import START
from tests.support.toy import ToyUnitOfWork, counters, notes, on_order_cancelled, toy_service

done: list[str] = []


async def count_only(event: OrderCancelled, uow: ToyUnitOfWork) -> None:
    """A decent projection: one row per order, as often as it was cancelled."""
    rows = await uow.fetch(sa.select(counters.c.value).where(counters.c.id == event.order_id))
    if event.reason == "bad":
        raise ValueError("this one fails in the service, too")
    if rows:
        await uow.execute(counters.update().where(counters.c.id == event.order_id).values(value=rows[0]["value"] + 1))
    else:
        uow.append(counters, {"id": event.order_id, "value": 1, "version": 1})
    uow.after_commit(lambda: done.append("told somebody"))


async def publish(event: OrderCancelled, uow: UnitOfWork) -> None:
    uow.publish(event)


async def make_an_id(event: OrderCancelled, uow: UnitOfWork) -> None:
    uow.new_id()


async def write_elsewhere(event: OrderCancelled, uow: UnitOfWork) -> None:
    uow.append(notes, {"text": "a decision of our own"})


def service(handler: Any) -> ServiceDefinition[ToyUnitOfWork]:
    projection = Projection(counters, (OrderCancelled,))
    return replace(toy_service("payment", {OrderCancelled: handler}), projections=(projection,))


def an_event(order_id: UUID, *, id: UUID | None = None, reason: str = "customer") -> bytes:
    event = OrderCancelled(order_id=order_id, reason=reason)
    return in_envelope(event, id or uuid4())


def in_envelope(event: Event, id: UUID) -> bytes:
    return encode(
        Envelope(
            id=id,
            source="/order",
            type=event.wire_name,
            subject=event.subject,
            time=START,
            correlationid=uuid4(),
            aggregateversion=1,
            data=event.model_dump(mode="json"),
        )
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def write(file: Path, *lines: bytes) -> None:
    file.write_bytes(b"# a story\n\n" + b"\n".join(lines) + b"\n")


async def apply(runtime: Runtime[Any], handler: Any, file: Path, *lines: bytes) -> Report:
    write(file, *lines)
    definition = service(handler)
    async with scratch(definition) as beside:
        journal = FileJournal(file)
        rebuild = Rebuild(definition, beside, runtime.reader, journal, runtime.clock, pause_seconds=0.01)
        return await rebuild.apply(runtime.writer)


async def rows(runtime: Runtime[Any], table: sa.Table) -> int:
    row = await runtime.reader.first(sa.select(sa.func.count().label("n")).select_from(table))
    return int(row["n"]) if row is not None else 0


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (on_order_cancelled, r"published order\.fulfilled\.v1"),
        (publish, r"published order\.cancelled\.v1"),
        (make_an_id, "made an id"),
        (write_elsewhere, r"order\.cancelled\.v1 uses a table that is no projection.*: notes"),
    ],
    ids=["an aggregate's event", "an event of its own", "an id", "another table"],
)
async def test_a_handler_that_does_more_stops_it(runtime: Runtime[Any], file: Path, handler: Any, said: str) -> None:
    with pytest.raises(SideEffectError, match=said):
        await apply(runtime, handler, file, an_event(uuid4()))
    for table in (counters, notes, runtime.definition.tables.outbox, runtime.definition.tables.inbox):
        assert await rows(runtime, table) == 0


async def test_what_is_asked_for_after_a_commit_is_not_done(runtime: Runtime[Any], file: Path) -> None:
    done.clear()
    report = await apply(runtime, count_only, file, an_event(uuid4()))
    assert report.mended["counters"].written == 1
    assert done == []


async def test_each_event_counts_once_and_what_is_odd_is_told(runtime: Runtime[Any], file: Path) -> None:
    order, event, bad = uuid4(), uuid4(), uuid4()
    lines = [an_event(order, id=event)] * 3 + [an_event(order, id=bad, reason="bad"), b"{pasted", an_event(order)]
    report = await apply(runtime, count_only, file, *lines)
    [row] = await runtime.reader.all(sa.select(counters))
    assert (row["id"], row["value"]) == (order, 2)
    assert report.reading.undecodable == [7]
    [refused] = report.reading.refused
    assert (refused.event_id, refused.type) == (bad, "order.cancelled.v1")
    assert "ValueError" in refused.error
    assert "need not hold everything" in (report.reading.cut or "")
    assert (report.reading.entries, report.equal) == (6, True)
    assert await rows(runtime, runtime.definition.tables.inbox) == 0, "the live service may still get them"


async def test_copies_of_an_event_count_once_in_one_batch_too(runtime: Runtime[Any], file: Path) -> None:
    await apply(runtime, count_only, file, *([an_event(uuid4())] * 3))
    [row] = await runtime.reader.all(sa.select(counters))
    assert row["value"] == 1


async def test_a_file_that_is_not_there(runtime: Runtime[Any], tmp_path: Path) -> None:
    definition = service(count_only)
    async with scratch(definition) as beside:
        journal = FileJournal(tmp_path / "nothing.jsonl")
        with pytest.raises(JournalUnavailableError, match="cannot be read: No such file"):
            await Rebuild(definition, beside, runtime.reader, journal, runtime.clock).check()


async def test_an_empty_journal_proves_nothing(runtime: Runtime[Any], file: Path) -> None:
    with pytest.raises(JournalUnavailableError, match="nothing to compare with"):
        await apply(runtime, count_only, file)


def test_values_are_the_same_text_whatever_the_database() -> None:
    id = UUID(int=7)
    assert canonical([id, START, None, True, 3, "é"]) == (
        '["00000000-0000-0000-0000-000000000007","2026-01-01T00:00:00.000000+00:00",null,true,3,"é"]'
    )
