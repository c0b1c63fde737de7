"""Who leads on PostgreSQL: one process at a time, none that is frozen, and it hears of what others have for it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final, Self, cast
from uuid import uuid4

import pytest
import sqlalchemy as sa

from chassis import leadership
from chassis.db import Store
from chassis.hints import PostgresHints
from chassis.leadership import AdvisoryLeadership
from chassis.runtime import Runtime
from chassis.transport.memory import MemoryBroker
from tests.support.clocks import ManualClock
from tests.support.toy import Add, ToyUnitOfWork, add, another_process
from tests.support.waiting import wait_until

on_postgresql = pytest.mark.parametrize(
    "store_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
"""A SQLite file has one process."""
ONE_HOUR: Final = timedelta(hours=1)


class LosesAnswers:
    """A store, its engine and its only connection, on which every statement's answer is lost."""

    def __init__(self) -> None:
        self.engine = self
        self.ended: list[str] = []

    def execution_options(self, **_: Any) -> Self:
        return self

    async def connect(self) -> Self:
        return self

    async def execute(self, statement: sa.Executable, _: object = None) -> None:
        raise sa.exc.OperationalError(str(statement), None, OSError("connection lost"))

    async def invalidate(self) -> None:
        self.ended.append("invalidated")

    async def close(self) -> None:
        self.ended.append("closed")


async def test_a_session_that_may_hold_the_lock_is_ended() -> None:
    store = LosesAnswers()
    assert not await AdvisoryLeadership(cast("Store", store), "order.relay").hold()
    assert store.ended == ["invalidated", "closed"]


@pytest.fixture
def store(runtime: Runtime[ToyUnitOfWork]) -> Store:
    return runtime.store


@pytest.fixture
async def rivals(store: Store) -> AsyncIterator[tuple[AdvisoryLeadership, AdvisoryLeadership]]:
    """The first leads."""
    name = f"{uuid4()}.relay"
    first, second = AdvisoryLeadership(store, name), AdvisoryLeadership(store, name)
    assert await first.hold()
    assert not await second.hold()
    yield first, second
    await first.release()
    await second.release()


@on_postgresql
async def test_the_next_leads_when_the_first_gives_up(rivals: tuple[AdvisoryLeadership, AdvisoryLeadership]) -> None:
    first, second = rivals
    await first.release()
    await wait_until(second.hold)
    assert not await first.hold()


@on_postgresql
async def test_who_is_silent_for_long_leads_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen process says nothing, and its connection stays open."""
    monkeypatch.setattr(leadership, "SILENT_SESSION", {"after": "200ms"})
    name = f"{uuid4()}.relay"
    frozen, other = AdvisoryLeadership(store, name), AdvisoryLeadership(store, name)
    try:
        assert await frozen.hold()
        await wait_until(other.hold, message="a leader that is silent for ever leads for ever")
        assert not await frozen.hold()
    finally:
        await frozen.release()
        await other.release()


@on_postgresql
async def test_a_leader_whose_session_was_ended_knows_at_once(
    store: Store, rivals: tuple[AdvisoryLeadership, AdvisoryLeadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not ask the server before each window, but sees that its connection was closed."""
    monkeypatch.setattr(leadership, "ASK_EVERY_SECONDS", ONE_HOUR.total_seconds())
    first, second = rivals
    holder = sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    await store.reader.all(holder)

    async def lost() -> bool:
        return not await first.hold()

    await wait_until(lost, message="a leader without a session leads on")
    await wait_until(second.hold)


def knows_others(runtime: Runtime[ToyUnitOfWork]) -> bool:
    assert isinstance(runtime.hints, PostgresHints)
    return bool(runtime.hints._others)


@on_postgresql
async def test_what_another_process_commits_is_published_at_once(
    runtime: Runtime[ToyUnitOfWork],
    store: Store,
    clock: ManualClock,
    broker: MemoryBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not when the leader looks next: the pause between two looks is made longer than anybody waits."""
    name = f"order-{uuid4().hex[:8]}"
    url = store.url.render_as_string(hide_password=False)
    async with another_process(url, clock, broker, name) as leader, another_process(url, clock, broker, name) as other:
        await leader.relay.start()
        await wait_until(lambda: leader.relay.leads)
        monkeypatch.setattr("chassis.relay.POLL", ONE_HOUR)
        await leader.writer.execute(add, Add(uuid4()))
        await wait_until(lambda: len(broker.journal) == 1)
        await other.relay.start()
        await wait_until(lambda: knows_others(other))  # until then it tells nobody, and the leader looks by itself
        await other.writer.execute(add, Add(uuid4()))
        await wait_until(lambda: len(broker.journal) == 2, message="the leader never heard of it")
