"""The relay marks only what the broker confirmed, and one bad row holds up nobody else."""

import errno
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn, TypeVar
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.db import Reader, Store
from chassis.ids import Uuid7
from chassis.relay import PARK_AFTER, TOPIC
from chassis.runtime import Environment, Runtime
from chassis.topology import JOURNAL, shop_topology
from chassis.transport import Outcome, OutgoingMessage, PublishResult
from chassis.transport.memory import MemoryBroker, MemoryTransport
from tests.support.clocks import ManualClock
from tests.support.hints import Others
from tests.support.toy import TABLES, Add, ToyUnitOfWork, add, create_tables, toy_service
from tests.support.waiting import wait_until


async def outbox(runtime: Runtime[ToyUnitOfWork]) -> list[RowMapping]:
    return list(await runtime.reader.all(sa.select(TABLES.outbox).order_by(TABLES.outbox.c.id)))


async def drain(runtime: Runtime[ToyUnitOfWork]) -> None:
    while await runtime.relay.run_once():
        pass


async def test_committed_events_are_published_once_in_the_order_of_their_aggregate(
    runtime: Runtime[ToyUnitOfWork], broker: MemoryBroker
) -> None:
    ids = [uuid4(), uuid4()]
    for _ in range(3):
        for counter_id in ids:
            await runtime.writer.execute(add, Add(counter_id))
    await drain(runtime)
    await drain(runtime)
    assert all(row["published_at"] for row in await outbox(runtime))
    published = [message.message_id for message in broker.journal]
    assert published == [str(row["event_id"]) for row in await outbox(runtime)]


async def test_an_unknown_outcome_leaves_the_row_and_publishes_again(
    runtime: Runtime[ToyUnitOfWork], broker: MemoryBroker
) -> None:
    await runtime.writer.execute(add, Add(uuid4()))
    broker.faults.lose_confirms = 1
    assert not await runtime.relay.run_once()
    assert [row["published_at"] for row in await outbox(runtime)] == [None]
    await drain(runtime)
    assert all(row["published_at"] for row in await outbox(runtime))
    assert len(broker.journal) == 2  # the duplicate consumers drop by its id


async def test_what_cannot_be_marked_is_not_sent_again_and_again(
    runtime: Runtime[ToyUnitOfWork], broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.writer.execute(add, Add(uuid4()))
    with monkeypatch.context() as full_disk:
        full_disk.setattr(runtime.writer, "_open_session", _no_space)
        await runtime.writer._close_session()
        for _ in range(5):
            await runtime.relay.run_once()
    assert [row["published_at"] for row in await outbox(runtime)] == [None]
    assert not await runtime.relay.run_once()
    assert all(row["published_at"] for row in await outbox(runtime))
    assert len(broker.journal) == 1


async def _no_space() -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left on device")


async def test_an_unroutable_event_waits_for_its_binding(
    runtime: Runtime[ToyUnitOfWork], broker: MemoryBroker, clock: ManualClock
) -> None:
    await runtime.writer.execute(add, Add(uuid4()))
    topology = shop_topology()
    broker.rewire(replace(topology, bindings=tuple(b for b in topology.bindings if b.queue != JOURNAL)))
    for _ in range(PARK_AFTER + 2):
        await runtime.relay.run_once()
        clock.advance(timedelta(minutes=1))
    (row,) = await outbox(runtime)
    assert (row["published_at"], row["parked_at"]) == (None, None)
    assert row["last_error"]
    broker.rewire(topology)
    await drain(runtime)
    assert (await outbox(runtime))[0]["published_at"]


async def test_a_refused_event_backs_off_then_is_parked_while_others_flow(
    runtime: Runtime[ToyUnitOfWork], broker: MemoryBroker, clock: ManualClock
) -> None:
    bad, good = uuid4(), uuid4()
    await runtime.writer.execute(add, Add(bad))
    await runtime.writer.execute(add, Add(bad))
    broker.faults.refuse = lambda message: "refused" if str(bad) in message.body.decode() else None
    await runtime.writer.execute(add, Add(good))
    await drain(runtime)
    assert await published_of(runtime, good) == [True]
    assert await published_of(runtime, bad) == [False, False]
    for _ in range(PARK_AFTER):
        clock.advance(timedelta(minutes=1))
        await runtime.relay.run_once()
    first, second = [row for row in await outbox(runtime) if row["aggregate_id"] == str(bad)]
    assert first["parked_at"]
    assert first["attempts"] == PARK_AFTER
    assert second["attempts"] <= 1  # it waited behind the first until that one was parked


async def published_of(runtime: Runtime[ToyUnitOfWork], counter_id: UUID) -> list[bool]:
    return [bool(row["published_at"]) for row in await outbox(runtime) if row["aggregate_id"] == str(counter_id)]


async def test_status_tells_what_waits(runtime: Runtime[ToyUnitOfWork], clock: ManualClock) -> None:
    start = clock.now()
    await runtime.writer.execute(add, Add(uuid4()))
    clock.advance(timedelta(seconds=5))
    status = await runtime.relay.status()
    assert (status.pending, status.parked, status.oldest) == (1, 0, start)


class Absent(MemoryTransport):
    """A broker that takes nothing, and counts how often it was asked to."""

    asked = 0

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        self.asked += 1
        return [PublishResult(Outcome.UNKNOWN, "not connected")] * len(messages)


async def test_events_do_not_make_an_absent_broker_be_asked_again_and_again(
    store_url: str, clock: ManualClock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.STUCK_PAUSE", timedelta(hours=1))
    await create_tables(store_url)
    absent = Absent(broker, "order")
    runtime = Runtime(
        toy_service(), Environment(store=Store(store_url), transport=absent, clock=clock, ids=Uuid7(clock))
    )
    await runtime.writer.start()
    await runtime.relay.start()
    await runtime.writer.execute(add, Add(uuid4()))
    await wait_until(lambda: absent.asked > 0)
    for _ in range(10):
        await runtime.writer.execute(add, Add(uuid4()))
    assert absent.asked == 1
    await runtime.relay.stop()  # at once: it waits for no pause
    await runtime.writer.stop()
    await runtime.store.close()


async def test_an_absent_broker_is_asked_again_without_being_told(
    store_url: str, clock: ManualClock, broker: MemoryBroker
) -> None:
    await create_tables(store_url)
    absent = Absent(broker, "order")
    runtime = Runtime(
        toy_service(), Environment(store=Store(store_url), transport=absent, clock=clock, ids=Uuid7(clock))
    )
    await runtime.writer.start()
    await runtime.writer.execute(add, Add(uuid4()))
    await runtime.relay.start()
    await wait_until(lambda: absent.asked > 2)
    await runtime.relay.stop()
    await runtime.writer.stop()
    await runtime.store.close()


class Looks:
    """A reader that keeps what the relay saw."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.seen: list[Sequence[RowMapping]] = []

    async def all(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        return await self._reader.all(statement, parameters)

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        self.seen.append(await self._reader.by_key(statement, parameters))
        return self.seen[-1]

    async def first(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> RowMapping | None:
        return await self._reader.first(statement, parameters)

    async def close(self) -> None:
        await self._reader.close()


class LateLooks(Looks):
    """The second look comes, most likely, before the first one's events are marked, and is told after that."""

    look_again: Callable[[], None]

    async def by_key(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[RowMapping]:
        rows = await super().by_key(statement, parameters)
        if len(self.seen) == 1:
            self.look_again()
        else:
            await wait_until(self._all_marked)
        return rows

    async def _all_marked(self) -> bool:
        return all(row["published_at"] for row in await self._reader.all(sa.select(TABLES.outbox)))


LooksT = TypeVar("LooksT", bound=Looks)


@asynccontextmanager
async def relaying(
    store_url: str, clock: ManualClock, broker: MemoryBroker, make: Callable[[Reader], LooksT]
) -> AsyncIterator[tuple[Runtime[ToyUnitOfWork], LooksT]]:
    """A runtime of which the writer and the relay work, and what the relay sees."""
    await create_tables(store_url)
    store = Store(store_url)
    store.reader = looks = make(store.reader)
    environment = Environment(store=store, transport=MemoryTransport(broker, "order"), clock=clock, ids=Uuid7(clock))
    runtime = Runtime(toy_service(), environment)
    await runtime.writer.start()
    await runtime.transport.start()
    try:
        yield runtime, looks
    finally:
        await runtime.relay.stop()
        await runtime.transport.stop()
        await runtime.writer.stop()
        await store.close()


async def test_an_event_is_not_sent_again_when_its_mark_overtakes_the_next_look(
    store_url: str, clock: ManualClock, broker: MemoryBroker
) -> None:
    async with relaying(store_url, clock, broker, LateLooks) as (runtime, late):
        late.look_again = runtime.relay.wake
        await runtime.writer.execute(add, Add(uuid4()))
        await runtime.relay.start()
        await wait_until(lambda: len(late.seen) > 2)
    assert len(broker.journal) == 1


async def test_what_was_sent_is_not_read_again_and_nobody_looks_without_a_reason(
    store_url: str, clock: ManualClock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the marks nor, if all that was due got through, before something is committed."""
    monkeypatch.setattr("chassis.relay.MARK_AFTER", timedelta(hours=1))
    monkeypatch.setattr("chassis.relay.POLL", timedelta(hours=1))
    async with relaying(store_url, clock, broker, Looks) as (runtime, looks):
        await runtime.relay.start()
        await wait_until(lambda: looks.seen == [[]])
        for number in range(1, 4):
            await runtime.writer.execute(add, Add(uuid4()))
            await wait_until(lambda number=number: len(broker.journal) == number)  # type: ignore[misc]
        assert [len(rows) for rows in looks.seen] == [0, 1, 1, 1]


async def test_a_relay_with_many_unmarked_events_waits_for_their_marks(
    store_url: str, clock: ManualClock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.MARK_AFTER", timedelta(hours=1))
    monkeypatch.setattr("chassis.relay.MAX_UNMARKED", 2)
    async with relaying(store_url, clock, broker, Looks) as (runtime, _):
        await runtime.relay.start()
        for number in range(1, 4):
            await runtime.writer.execute(add, Add(uuid4()))
            await wait_until(lambda number=number: len(broker.journal) == number)  # type: ignore[misc]
        marked = [row["published_at"] is not None for row in await outbox(runtime)]
        assert marked == [True, True, False]


async def test_what_is_held_back_behind_its_aggregates_first_goes_out_at_once(
    store_url: str, clock: ManualClock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.relay.POLL", timedelta(hours=1))
    async with relaying(store_url, clock, broker, Looks) as (runtime, _):
        counter_id = uuid4()
        for _number in range(3):
            await runtime.writer.execute(add, Add(counter_id))
        await runtime.relay.start()
        await wait_until(lambda: len(broker.journal) == 3)


class Follower:
    """Somebody else leads."""

    leads = False

    def __init__(self) -> None:
        self.asked = 0

    async def hold(self) -> bool:
        self.asked += 1
        return False

    async def release(self) -> None: ...


async def test_who_does_not_lead_tells_what_it_committed_and_not_what_it_is_told(
    store_url: str, clock: ManualClock, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two that follow would tell each other for ever."""
    monkeypatch.setattr("chassis.relay.POLL", timedelta(hours=1))
    await create_tables(store_url)
    others, follower = Others(), Follower()
    ours, another = others.member(), others.member()
    environment = Environment(
        store=Store(store_url),
        transport=MemoryTransport(broker, "order"),
        clock=clock,
        ids=Uuid7(clock),
        leadership=lambda *_: follower,
        hints=lambda *_: ours,
    )
    runtime = Runtime(toy_service(), environment)
    await runtime.writer.start()
    await runtime.relay.start()
    try:
        await wait_until(lambda: follower.asked == 1)
        another.tell(TOPIC, "")
        await runtime.writer.execute(add, Add(uuid4()))
        await wait_until(lambda: bool(ours.told))
        assert (ours.told, follower.asked) == ([(TOPIC, "")], 2)
    finally:
        await runtime.relay.stop()
        await runtime.writer.stop()
        await runtime.store.close()
