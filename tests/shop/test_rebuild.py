"""After a day in the shop each service's projections can be made again from the journal, and nothing else happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

from chassis.clock import Clock
from chassis.db import Store
from chassis.migrate import migrate
from chassis.rebuild.rebuild import Rebuild, Report
from chassis.rebuild.scratch import scratch
from chassis.runtime import Environment
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.registry import SERVICES
from order_svc.app import build as build_order
from order_svc.settings import OrderSettings
from order_svc.store import RUNTIME, TOKENS, products
from payment_svc.tables import payables
from tests.shop.day import a_day, everything, manage
from tests.shop.shop import PASSWORD, Shop
from tests.support.clocks import ManualClock
from tests.support.journals import MemoryJournal

SOON = datetime(2026, 1, 1, tzinfo=UTC)
on_sqlite = pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
PROJECTIONS = {
    "auth": (),
    "catalog": ("token_keys", "revoked_sessions"),
    "order": ("products", "token_keys", "revoked_sessions"),
    "payment": ("payables", "token_keys", "revoked_sessions"),
}


@asynccontextmanager
async def rebuilding(
    shop: Shop, service: str, *, dropped: int = 0, clock: Clock | None = None
) -> AsyncIterator[Rebuild]:
    runtime = shop.runtime(service)
    journal = MemoryJournal(shop.broker, dropped=dropped)
    async with scratch(runtime.definition) as beside:
        yield Rebuild(runtime.definition, beside, runtime.reader, journal, clock or runtime.clock, pause_seconds=0.01)


async def check(shop: Shop, service: str, *, dropped: int = 0) -> Report:
    async with rebuilding(shop, service, dropped=dropped) as rebuild:
        return await rebuild.check()


async def apply(shop: Shop, service: str, *, dropped: int = 0, delete_surplus: bool = False) -> Report:
    async with rebuilding(shop, service, dropped=dropped) as rebuild:
        return await rebuild.apply(shop.runtime(service).writer, delete_surplus=delete_surplus)


async def change(shop: Shop, service: str, statement: sa.Executable) -> None:
    """Tamper with a store, as nobody should."""
    assert await shop.runtime(service).writer.run_now(lambda uow: uow.execute(statement)) > 0


async def test_every_projection_equals_its_rebuild_twice(shop: Shop) -> None:
    await a_day(shop)
    for service, tables in PROJECTIONS.items():
        once, twice = await check(shop, service), await check(shop, service)
        assert tuple(found.table for found in once.comparisons) == tables
        assert once.comparisons == twice.comparisons
        for found in once.comparisons:
            assert found.equal, found
            assert found.rows > 0, f"{service}: {found.table} is empty: nothing is proved"


@on_sqlite
async def test_neither_check_nor_apply_does_anything_else(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table of every store, outboxes, inboxes, ledger and the provider's calls among them, stays as it is."""
    await a_day(shop)
    published = len(shop.broker.journal)
    before = await everything(shop)
    with monkeypatch.context() as without_provider:  # whoever calls it now, fails
        without_provider.setattr(shop.apps["payment"].state.runtime.courier, "provider", None)
        for service in SERVICES:
            await check(shop, service)
            report = await apply(shop, service)
            assert not report.mended
    await shop.settled()
    assert await everything(shop) == before
    assert len(shop.broker.journal) == published


async def test_what_was_tampered_with_is_found_by_its_keys_and_mended(shop: Shop) -> None:
    paid = await a_day(shop)
    before = await everything(shop)
    await change(shop, "order", products.update().where(products.c.sku == "MOBY").values(price_amount=1, version=99))
    await change(shop, "order", products.delete().where(products.c.sku == "EMMA"))
    await change(shop, "payment", payables.update().where(payables.c.order_id == UUID(paid)).values(pay_by=SOON))
    found = (await check(shop, "order")).comparisons[0]
    assert not found.equal
    assert (found.missing, found.differing, found.surplus) == (('"EMMA"',), ('"MOBY"',), ())
    assert (await check(shop, "payment")).comparisons[0].differing == (f'"{paid}"',)
    for service in ("order", "payment"):
        report = await apply(shop, service)
        assert report.equal
        assert sum(mended.written for mended in report.mended.values()) == {"order": 2, "payment": 1}[service]
    assert await everything(shop) == before, "our own columns, like the payment of a payable, are as they were"


@on_sqlite
async def test_tokens_are_refused_again_when_a_revocation_was_lost(shop: Shop) -> None:
    await a_day(shop)
    revoked = TOKENS.revocations
    [was] = await shop.runtime("order").reader.all(sa.select(revoked))
    await change(shop, "order", revoked.delete())
    assert (await check(shop, "order")).comparisons[2].missing == (f'"{was["session_id"]}"',)
    assert (await apply(shop, "order")).equal
    [now] = await shop.runtime("order").reader.all(sa.select(revoked))
    assert now["until"] == was["until"]
    assert now["recorded_at"] > was["recorded_at"], "running instances learn it: they read what was recorded lately"


@on_sqlite
async def test_a_revocation_whose_time_is_over_may_be_gone(shop: Shop) -> None:
    await a_day(shop)
    revoked = TOKENS.revocations
    await change(shop, "catalog", revoked.delete())
    async with rebuilding(shop, "catalog", clock=ManualClock(datetime.now(UTC) + timedelta(days=1))) as rebuild:
        report = await rebuild.check()
    assert (report.equal, report.comparisons[1].rows) == (True, 0)


@on_sqlite
async def test_rows_nobody_told_of_are_named_and_deleted_only_on_request(shop: Shop) -> None:
    await shop.stock(MOBY=1)
    ghost = {"sku": "GHOST", "title": "x", "price_amount": 1, "currency": "EUR", "orderable": True, "version": 1}
    await change(shop, "order", products.insert().values(ghost))
    report = await apply(shop, "order")
    assert not report.equal
    assert report.comparisons[0].surplus == ('"GHOST"',)
    report = await apply(shop, "order", delete_surplus=True)
    assert report.equal
    assert report.mended["products"].deleted == 1


@on_sqlite
async def test_what_a_trimmed_journal_cannot_know_is_kept_and_not_judged(shop: Shop) -> None:
    """The first half of the events is gone: what they alone told of stays, and is no reason to fail."""
    await shop.stock(MOBY=9)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")
    await shop.settled()
    dropped = len(shop.broker.journal)
    await anne.pay(order_id)
    await anne.until(order_id, "paid")
    await shop.settled()
    before = await everything(shop)
    order = await apply(shop, "order", dropped=dropped)
    assert order.reading.cut
    assert (order.equal, order.comparisons[0].surplus) == (True, ('"MOBY"',))
    payment = await apply(shop, "payment", dropped=dropped)
    assert (payment.equal, payment.comparisons[0].unjudged) == (True, (f'"{order_id}"',))
    assert await everything(shop) == before


@on_sqlite
async def test_a_new_journal_does_not_pass_for_the_whole_one(shop: Shop) -> None:
    await shop.stock(MOBY=1)
    await change(shop, "order", RUNTIME.inbox.update().values(handled_at=datetime(2026, 1, 1, tzinfo=UTC)))
    report = await check(shop, "order")
    assert "handled events before that" in (report.reading.cut or "")


async def test_an_event_that_comes_while_rows_are_written_is_not_undone(shop: Shop) -> None:
    """Between looking and writing the price changes: the newer row stays, and the next look finds it right."""
    await shop.stock(MOBY=1, EMMA=1)
    await change(shop, "order", products.update().values(title="tampered"))
    runtime = shop.runtime("order")

    async def a_change_comes_in(work: Any, subject: object = None) -> Any:
        runtime.writer.run_now = run_now  # type: ignore[method-assign]  # only once
        await manage(shop, "PATCH", "MOBY", {"price": {"amount": 7, "currency": "EUR"}})
        await shop.settled()
        done = await run_now(work, subject)
        assert (await titles_and_prices())["MOBY"] == ("Title of MOBY", 7), "what was compared is no longer there"
        return done

    async def titles_and_prices() -> dict[str, tuple[str, int]]:
        rows = await runtime.reader.all(sa.select(products))
        return {row["sku"]: (row["title"], row["price_amount"]) for row in rows}

    run_now = runtime.writer.run_now
    runtime.writer.run_now = a_change_comes_in  # type: ignore[method-assign]  # the moment in between
    report = await apply(shop, "order")
    assert report.equal
    assert await titles_and_prices() == {"MOBY": ("Title of MOBY", 7), "EMMA": ("Title of EMMA", 1199)}
    assert report.mended["products"].written == 1


@on_sqlite
async def test_an_empty_store_learns_the_catalogue_from_the_journal(shop: Shop, tmp_path: Path) -> None:
    await a_day(shop)
    url = f"sqlite+aiosqlite:///{tmp_path / 'replica.db'}"
    await asyncio.to_thread(migrate, "order_svc", url)
    environment = Environment(store=Store(url), transport=MemoryTransport(MemoryBroker(), "order"))
    app = build_order(OrderSettings(database_url=url), environment)
    runtime = app.state.runtime
    async with scratch(runtime.definition) as beside:
        journal = MemoryJournal(shop.broker)
        rebuild = Rebuild(runtime.definition, beside, runtime.reader, journal, runtime.clock, pause_seconds=0.01)
        await runtime.writer.start()
        report = await rebuild.apply(runtime.writer)
        await runtime.writer.stop()
    assert report.equal
    assert report.comparisons == (await check(shop, "order")).comparisons
    anne = await shop.log_in("anne@example.com", PASSWORD)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        headers = anne.headers | {"Idempotency-Key": "first"}
        body = {"lines": [{"sku": "EMMA", "quantity": 1}]}
        answer = await http.post("http://order/orders", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["total"]["amount"] == 1000
