"""A year that is made up must be one that the services could have left, or it measures nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.grow import orders, payments, seed
from bench.grow.__main__ import filling
from chassis.housekeeping import Prunable, prunable
from chassis.migrate import migrate
from order_svc.store import RUNTIME as ORDER_RUNTIME
from order_svc.store import orders as order_rows
from payment_svc.domain.payable import Payable
from payment_svc.domain.settlement import next_step
from payment_svc.prunes import PRUNES
from payment_svc.store import payment_of_row
from payment_svc.tables import RUNTIME, ledger, operations, payables
from payment_svc.tables import payments as payment_rows
from tests.bench.commands import output_of
from tests.support.postgres import BINARIES

COUNT = 400
NOW = datetime(2026, 7, 1, tzinfo=UTC)
AGES = {"outbox": 7, "inbox": 30, "idempotency_keys": 2, "discarded_letters": 30}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def rows(connection: AsyncConnection, table: sa.Table) -> list[Any]:
    return list((await connection.execute(sa.select(table))).mappings())


async def assert_pruned(connection: AsyncConnection, prunes: Sequence[Prunable]) -> None:
    """Nothing is left that a prune would delete, and something is left in what every order leaves."""
    for prune in prunes:
        before = NOW - timedelta(days=AGES.get(prune.table.name, 30))
        deleted = await connection.execute(prune.statement(before))
        assert deleted.rowcount == 0, prune.name
    for table in {prune.table for prune in prunes}:
        if table.name not in {"discarded_letters", "provider_discrepancies"}:
            assert await rows(connection, table), table.name


async def test_payments_are_as_a_year_leaves_them(store_url: str) -> None:
    await asyncio.to_thread(migrate, "payment_svc", store_url)
    async with filling(store_url) as connection:
        await seed.plant(connection, COUNT, NOW)
        to_pay = await payments.fill(connection, 3, NOW)
        known = await seed.known(connection, COUNT)
    async with opened(store_url) as connection:
        paid = [payment_of_row(row) for row in await rows(connection, payment_rows)]
        of_orders = {row["order_id"]: row for row in await rows(connection, payables)}
        assert {(one.order_id, one.payment_id) for one in known} == {(payment.order_id, payment.id) for payment in paid}
        assert len(paid) == COUNT
        for payment in paid:
            row = of_orders[payment.order_id]
            payable = Payable(
                payment.order_id,
                user_id=row["user_id"],
                payment_id=row["payment_id"],
                confirmed_payment_id=row["confirmed_payment_id"],
                cancel_reason=row["cancel_reason"],
            )
            assert payable.state.value == row["state"]
            assert next_step(payable, payment) is None
            assert payment.user_id == payable.user_id
        for order_id in to_pay:
            assert of_orders[order_id]["state"] == "open"
        balance = sum(
            row["amount"] * ((row["debit"] == "provider_balance") - (row["credit"] == "provider_balance"))
            for row in await rows(connection, ledger)
        )
        assert balance == sum(payment.captured - payment.refunded for payment in paid)
        assert {row["state"] for row in await rows(connection, operations)} == {"done"}
        await assert_pruned(connection, (*PRUNES, *prunable(RUNTIME)))


async def test_orders_are_as_a_year_leaves_them(store_url: str) -> None:
    await asyncio.to_thread(migrate, "order_svc", store_url)
    async with filling(store_url) as connection:
        await seed.plant(connection, COUNT, NOW)
        await orders.fill(connection, 5, NOW)
        known = await seed.known(connection, COUNT)
    async with opened(store_url) as connection:
        placed = await rows(connection, order_rows)
        assert {one.order_id for one in known} == {row["id"] for row in placed}
        assert min(row["placed_at"] for row in placed) == NOW - seed.YEAR
        assert all(row["lines"][0]["sku"] == "BK-000001" for row in placed)
        by_id = sorted(placed, key=lambda row: row["id"])
        assert [row["placed_at"] for row in by_id] == sorted(row["placed_at"] for row in placed)
        await assert_pruned(connection, prunable(ORDER_RUNTIME))


@pytest.mark.e2e
@pytest.mark.timeout(400)
@pytest.mark.postgres
async def test_both_sides_are_asked_everything() -> None:
    """On PostgreSQL, which does all that SQLite does and more."""
    if not BINARIES and not os.environ.get("CI"):
        pytest.skip("PostgreSQL's server binaries are not installed (apt-get install postgresql)")
    size = ("--store", "postgresql", "--orders", "200", "--products", "100")
    text = await output_of("bench.grow", *size, "--rounds", "1", "--seconds", "0.02", "--sweeps", "1")
    named = {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")}
    assert {"`POST /orders`", "`POST /payments`", "an order's payments", "search that finds one"} <= named
    assert {"order_svc's `expire_orders`", "payment_svc's `provider_operations`"} <= named
