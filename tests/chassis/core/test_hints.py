"""Hints between processes: heard by the others, never by oneself, told only if somebody is there, and never trusted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from chassis import hints
from chassis.db import Store
from chassis.hints import MAX_BYTES, NobodyElse, PostgresHints, payloads
from tests.support.waiting import wait_until

on_postgresql = pytest.mark.parametrize(
    "store_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
SESSIONS: Final = sa.text(
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE '%pg_notify%' AND pid <> pg_backend_pid()"
)


class Process:
    """One that listens, and what it heard under `order`."""

    def __init__(self, store: Store, name: str) -> None:
        self.hints = PostgresHints(store, name)
        self.heard: list[str] = []
        self.hints.on("order", self.heard.append)

    def knows_others(self, number: int = 1) -> bool:
        return len(self.hints._others) == number


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = Store(store_url)
    yield store
    await store.close()


@pytest.fixture
def name() -> str:
    return f"order-{uuid4().hex[:8]}"


@asynccontextmanager
async def processes(store: Store, name: str, number: int) -> AsyncIterator[list[Process]]:
    """So many of a service, at work; they know each other."""
    started = [Process(store, name) for _ in range(number)]
    try:
        for process in started:
            await process.hints.start()
        for process in started:
            await wait_until(lambda process=process: process.knows_others(number - 1))  # type: ignore[misc]
        yield started
    finally:
        for process in started:
            await process.hints.stop()


@on_postgresql
async def test_the_others_hear_and_nobody_hears_himself(store: Store, name: str) -> None:
    async with processes(store, name, 3) as [one, *others]:
        one.hints.tell("order", "1 paid")
        await wait_until(lambda: all(other.heard == ["1 paid"] for other in others))
        others[0].hints.tell("order", "2 paid")
        await wait_until(lambda: one.heard == ["2 paid"])
        assert others[1].heard == ["1 paid", "2 paid"]


@on_postgresql
async def test_who_comes_is_known_at_once(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the next hello: nobody says one by themself here."""
    monkeypatch.setattr(hints, "HELLO_SECONDS", 3_600.0)
    async with processes(store, name, 2) as [one, other]:
        other.hints.tell("order", "1 paid")
        await wait_until(lambda: one.heard == ["1 paid"])


@on_postgresql
async def test_who_is_alone_tells_nobody(store: Store, name: str) -> None:
    async with processes(store, name, 1) as [one]:
        one.hints.tell("order", "1 paid")
        assert one.hints._told == []


@on_postgresql
async def test_who_went_is_not_told_any_more(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "HELLO_SECONDS", 0.05)
    monkeypatch.setattr(hints, "GONE_AFTER_SECONDS", 0.5)
    async with processes(store, name, 2) as [one, other]:
        await other.hints.stop()
        await wait_until(lambda: one.knows_others(0))


@on_postgresql
async def test_very_much_at_once_arrives_in_order(store: Store, name: str) -> None:
    told = [f"{uuid4()} awaiting_payment" for _ in range(1_000)]
    async with processes(store, name, 2) as [one, other]:
        for text in told:
            one.hints.tell("order", text)
        await wait_until(lambda: len(other.heard) == len(told))
        assert other.heard == told


@on_postgresql
async def test_a_lost_connection_is_made_anew(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "HELLO_SECONDS", 0.05)
    monkeypatch.setattr(hints, "RETRY_SECONDS", 0.0)
    async with processes(store, name, 2) as [one, other]:
        before = {row["pid"] for row in await store.reader.all(SESSIONS)}
        assert len(before) == 2
        for pid in before:
            await store.reader.all(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

        def know_the_new_ones() -> bool:
            return all(each.hints._others and not each.hints._others.keys() & before for each in (one, other))

        await wait_until(know_the_new_ones)
        one.hints.tell("order", "1 paid")
        await wait_until(lambda: other.heard == ["1 paid"])


@on_postgresql
@pytest.mark.parametrize(
    "payload", ["", "no JSON", "[1]", '[["order"]]', '[["order", 1, 2]]', '[["strange", "x"]]', "{}"]
)
async def test_what_is_not_understood_is_passed_over(store: Store, name: str, payload: str) -> None:
    notify = sa.select(sa.func.pg_notify(f"{name}.hints", payload))
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    async with processes(store, name, 2) as [one, other]:
        await store.reader.all(notify)
        one.hints.tell("order", "1 paid")
        await wait_until(lambda: other.heard == ["1 paid"])
    assert raised == []


@on_postgresql
async def test_who_is_silent_for_long_hears_no_more(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen process would keep what it has not heard in the server's queue."""
    monkeypatch.setattr(hints, "SILENT_SESSION", {"after": "300ms"})
    monkeypatch.setattr(hints, "HELLO_SECONDS", 3_600.0)

    async def listens() -> bool:
        return bool(await store.reader.all(SESSIONS))

    async def listens_no_more() -> bool:
        return not await listens()

    async with processes(store, name, 1):
        await wait_until(listens)
        await wait_until(listens_no_more)


def test_a_sqlite_file_has_no_other_process(store: Store, store_url: str) -> None:
    alone = hints.hints(store, "order")
    assert isinstance(alone, NobodyElse) is store_url.startswith("sqlite")


@given(st.lists(st.tuples(st.sampled_from(["order", "arrival"]), st.uuids().map(str)), max_size=400))
def test_payloads_hold_everything_and_are_short_enough(told: list[tuple[str, str]]) -> None:
    parts = list(payloads(told))
    assert parts
    assert all(len(part.encode()) <= MAX_BYTES for part in parts)
    assert [tuple(each) for part in parts for each in json.loads(part)] == told
