"""One writer, two doors: batches commit together, and a bad job harms only itself."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from chassis import writer as writer_module
from chassis.context import MessageContext
from chassis.db import Store
from chassis.failpoints import Failpoints
from chassis.jobs import InboxEvent, OverloadedError, StoreUnavailableError
from chassis.runtime import Environment, Runtime
from chassis.seedwork import DomainError
from chassis.transport.memory import MemoryBroker, MemoryTransport
from chassis.writer import Writer
from contracts.order import OrderCancelled
from tests.support.clocks import ManualClock
from tests.support.toy import (
    TABLES,
    Add,
    Counter,
    ToyUnitOfWork,
    add,
    counters,
    create_tables,
    notes,
    on_order_cancelled,
    toy_service,
)

CONTEXT = MessageContext(uuid4())


async def value_of(runtime: Runtime[ToyUnitOfWork], counter_id: UUID) -> int | None:
    row = await runtime.reader.first(sa.select(counters.c.value).where(counters.c.id == counter_id))
    return row["value"] if row else None


async def outbox_versions(runtime: Runtime[ToyUnitOfWork], counter_id: UUID) -> list[int]:
    o = TABLES.outbox.c
    rows = await runtime.reader.all(
        sa.select(o.aggregate_version).where(o.aggregate_id == str(counter_id)).order_by(o.id)
    )
    return [row["aggregate_version"] for row in rows]


async def test_waiting_commands_share_a_transaction_and_see_each_other(runtime: Runtime[ToyUnitOfWork]) -> None:
    counter_id = uuid4()
    batches: list[int] = []
    runtime.observer.batch = lambda jobs, seconds: batches.append(jobs)  # type: ignore[method-assign] # listening in
    values = await asyncio.gather(*(runtime.writer.execute(add, Add(counter_id)) for _ in range(20)))
    assert values == list(range(1, 21))
    assert await value_of(runtime, counter_id) == 20
    assert await outbox_versions(runtime, counter_id) == list(range(1, 21))
    assert max(batches) > 1


async def test_a_refused_command_changes_nothing_and_spares_its_batch(runtime: Runtime[ToyUnitOfWork]) -> None:
    good, bad = uuid4(), uuid4()
    results = await asyncio.gather(
        runtime.writer.execute(add, Add(good)),
        runtime.writer.execute(add, Add(bad, 101)),
        runtime.writer.execute(add, Add(good)),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert results[2] == 2
    assert isinstance(results[1], DomainError)
    assert await value_of(runtime, good) == 2
    assert await value_of(runtime, bad) is None
    assert await outbox_versions(runtime, bad) == []


async def test_a_refused_command_does_not_cost_the_others_their_common_transaction(
    runtime: Runtime[ToyUnitOfWork],
) -> None:
    batches: list[int] = []
    runtime.observer.batch = lambda jobs, seconds: batches.append(jobs)  # type: ignore[method-assign] # listening in
    amounts = [1] * 10 + [101] + [1] * 10 + [102]
    commands = (runtime.writer.execute(add, Add(uuid4(), amount)) for amount in amounts)
    results = await asyncio.gather(*commands, return_exceptions=True)
    assert [isinstance(result, DomainError) for result in results] == [amount > 100 for amount in amounts]
    assert batches == [20]


async def test_a_broken_constraint_is_found_at_the_flush_and_spares_the_others(
    runtime: Runtime[ToyUnitOfWork],
) -> None:
    good, bad = uuid4(), uuid4()
    results = await asyncio.gather(
        runtime.writer.execute(add, Add(good)),
        runtime.writer.execute(add, Add(bad, -5)),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert isinstance(results[1], IntegrityError)
    assert await value_of(runtime, bad) is None
    assert await outbox_versions(runtime, bad) == [], "a change and its event are committed together or not at all"


async def test_trouble_after_the_commit_neither_fails_a_job_nor_runs_it_again(
    runtime: Runtime[ToyUnitOfWork],
) -> None:
    counter_id = uuid4()
    woken: list[bool] = []
    runtime.writer.on_emitted = lambda: woken.append(True)

    def broken(jobs: int, seconds: float) -> None:
        raise ZeroDivisionError

    runtime.observer.batch = broken  # type: ignore[method-assign] # a bug in what only looks on
    values = await asyncio.gather(*(runtime.writer.execute(add, Add(counter_id)) for _ in range(3)))
    assert values == [1, 2, 3]
    assert await value_of(runtime, counter_id) == 3
    assert woken


async def test_a_request_that_waited_too_long_is_refused_unbegun_and_an_event_is_not(
    runtime: Runtime[ToyUnitOfWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overload ends when the load does only if nobody works for those who have left."""
    monkeypatch.setattr(writer_module, "MAX_WAIT_SECONDS", -1.0)
    counter_id = uuid4()
    event = InboxEvent(uuid4(), OrderCancelled(order_id=uuid4(), reason="test"))
    refused, handled = await asyncio.gather(
        runtime.writer.execute(add, Add(counter_id)),
        runtime.writer.handle(event, on_order_cancelled, CONTEXT),
        return_exceptions=True,
    )
    assert isinstance(refused, OverloadedError)
    assert handled is True
    assert await value_of(runtime, counter_id) is None


async def test_a_commit_nobody_heard_of_is_not_done_again_without_a_key(
    runtime: Runtime[ToyUnitOfWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the server committed: what has no id or key to be known by is not run again."""
    plain, order_id = uuid4(), uuid4()
    event = InboxEvent(uuid4(), OrderCancelled(order_id=order_id, reason="test"))
    await runtime.writer.execute(add, Add(plain))
    session = await runtime.writer._open_session()
    transaction = session.transaction

    @asynccontextmanager
    async def deaf() -> AsyncIterator[Any]:
        monkeypatch.undo()
        async with transaction() as connection:
            yield connection
        raise OperationalError("COMMIT", None, ConnectionResetError(), connection_invalidated=True)

    monkeypatch.setattr(session, "transaction", deaf)
    uncertain, handled = await asyncio.gather(
        runtime.writer.execute(add, Add(plain)),
        runtime.writer.handle(event, on_order_cancelled, CONTEXT),
        return_exceptions=True,
    )
    assert isinstance(uncertain, StoreUnavailableError)
    assert handled is False, "its id says that it was handled"
    assert await value_of(runtime, plain) == 2
    assert await value_of(runtime, order_id) == 1


async def test_an_event_is_handled_once_for_ever(runtime: Runtime[ToyUnitOfWork]) -> None:
    event = InboxEvent(uuid4(), OrderCancelled(order_id=uuid4(), reason="test"))
    fresh = await asyncio.gather(*(runtime.writer.handle(event, on_order_cancelled, CONTEXT) for _ in range(5)))
    again = await runtime.writer.handle(event, on_order_cancelled, CONTEXT)
    assert sorted(fresh) == [False, False, False, False, True]
    assert again is False
    assert await value_of(runtime, event.event.order_id) == 1  # type: ignore[attr-defined] # it is an OrderCancelled


async def test_a_failed_handler_leaves_the_event_unhandled(writer: Writer[ToyUnitOfWork]) -> None:
    event = InboxEvent(uuid4(), OrderCancelled(order_id=uuid4(), reason="test"))

    async def fail(event: OrderCancelled, uow: ToyUnitOfWork) -> None:
        await on_order_cancelled(event, uow)
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await writer.handle(event, fail, CONTEXT)
    assert await writer.handle(event, on_order_cancelled, CONTEXT) is True


async def test_events_carry_their_conversation_and_cause(runtime: Runtime[ToyUnitOfWork]) -> None:
    order_id, cause = uuid4(), uuid4()
    event = InboxEvent(cause, OrderCancelled(order_id=order_id, reason="test"))
    await runtime.writer.handle(event, on_order_cancelled, MessageContext(uuid4(), cause))
    row = await runtime.reader.first(sa.select(TABLES.outbox))
    assert row is not None
    assert row["correlation_id"] == order_id
    assert str(cause) in row["body"]


async def test_two_writers_on_one_store_lose_no_update(runtime: Runtime[ToyUnitOfWork], store_url: str) -> None:
    """Two processes in small: each has its own writer and connection."""
    store = Store(store_url)
    other = Writer(
        store,
        TABLES,
        ToyUnitOfWork,
        source="/order",
        clock=runtime.clock,
        ids=runtime.ids,
        failpoints=Failpoints("order"),
        observer=runtime.observer,
    )
    await other.start()
    counter_id = uuid4()
    await runtime.writer.execute(add, Add(counter_id))
    await asyncio.gather(
        *(writer.execute(add, Add(counter_id)) for _ in range(25) for writer in (runtime.writer, other))
    )
    await other.stop()
    await store.close()
    assert await value_of(runtime, counter_id) == 51
    assert await outbox_versions(runtime, counter_id) == list(range(1, 52))


async def test_a_handler_reads_what_the_batch_has_not_written_yet(writer: Writer[ToyUnitOfWork]) -> None:
    async def write_then_read(command: None, uow: ToyUnitOfWork) -> int:
        uow.counters.add(Counter(uuid4(), 7))
        uow.append(notes, {"text": "seen"})
        rows = await uow.fetch(sa.select(sa.func.count().label("n")).select_from(notes))
        found = await uow.counters.select(counters.c.value == 7)
        return int(rows[0]["n"]) + len(found)

    assert await writer.execute(write_then_read, None) == 2


async def test_a_full_store_refuses_says_so_and_goes_on_when_there_is_space(tmp_path: Path, clock: ManualClock) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await create_tables(url)
    store = Store(url)
    store.set_pragma("max_page_count", "1")  # not a page more than there are
    environment = Environment(store=store, transport=MemoryTransport(MemoryBroker(clock=clock), "order"), clock=clock)
    runtime = Runtime(toy_service(), environment)
    await runtime.writer.start()
    with pytest.raises(StoreUnavailableError):
        await fill(runtime)
    counted = await count(runtime)
    assert "full" in runtime.readiness()["store"]
    store.set_pragma("max_page_count", "1000000")
    await runtime.writer.execute(add, Add(uuid4()))
    assert await count(runtime) == counted + 1
    await runtime.writer.stop()
    await store.close()


async def fill(runtime: Runtime[ToyUnitOfWork]) -> None:
    for _ in range(1_000):
        await runtime.writer.execute(add, Add(uuid4()))


async def count(runtime: Runtime[ToyUnitOfWork]) -> int:
    """How many counters there are; each with its event."""
    totals = [sa.select(sa.func.count()).select_from(t).scalar_subquery() for t in (counters, TABLES.outbox)]
    row = await runtime.reader.first(sa.select(*(total.label(str(n)) for n, total in enumerate(totals))))
    assert row is not None
    assert row["0"] == row["1"]
    return int(row["0"])


async def test_a_store_in_trouble_is_tried_with_a_row_that_does_not_stay(
    runtime: Runtime[ToyUnitOfWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await runtime.writer.probe() == 0
    with monkeypatch.context() as outage:
        outage.setattr(runtime.store, "open_session", gone)
        for attempt in (runtime.writer.execute(add, Add(uuid4())), runtime.writer.probe()):
            with pytest.raises(StoreUnavailableError):
                await attempt
        assert "no space left" in runtime.readiness()["store"]
    await runtime.writer.run_now(read_only)
    assert "store" in runtime.readiness()  # nothing was written yet
    assert await runtime.writer.probe() == 1
    assert "store" not in runtime.readiness()
    assert await runtime.reader.all(sa.select(TABLES.attempts)) == []


async def gone() -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left on device")


async def read_only(uow: ToyUnitOfWork) -> None:
    await uow.fetch(sa.select(counters))
