"""No sweep, prune or request of order_svc reads a table that grows from one end to the other."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.housekeeping import prunable
from chassis.migrate import migrate
from order_svc import queries
from order_svc.domain.order import OrderStatus
from order_svc.figures import COUNTS, OLDEST
from order_svc.queries import OrderFilter, page_statement
from order_svc.saga import OVERDUE
from order_svc.store import RUNTIME
from order_svc.unfinished import moving
from tests.support.plans import plan_of, scanned, sorted_whole

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=1)
PAID = OrderStatus.PAID
CURSOR = queries._encode_cursor(ID)

QUESTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "an order": (queries._ONE, {"id": ID}),
    "its timeline": (queries._ENTRIES, {"order_id": ID, "after": 0}),
    "orders that are overdue": (OVERDUE, {"now": NOW}),
    "orders under way": (COUNTS, {}),
    "the oldest of them": (OLDEST, {}),
    "orders that do not move": (sa.select(moving()), {}),
    **{f"prune {one.name}": (one.statement(NOW), {}) for one in prunable(RUNTIME)},
}
PAGES = {
    "a customer's": OrderFilter(ID, None, 20, None),
    "a customer's next": OrderFilter(ID, None, 20, CURSOR),
    "a customer's paid": OrderFilter(ID, PAID, 20, CURSOR),
    "everybody's paid": OrderFilter(None, PAID, 20, CURSOR),
    "everybody's next": OrderFilter(None, None, 20, CURSOR),
}


async def plan(url: str, statement: Any, parameters: dict[str, Any]) -> list[str]:
    await asyncio.to_thread(migrate, "order_svc", url)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        if connection.dialect.name == "postgresql":  # with empty tables it would rightly read them whole
            await connection.execute(sa.text("SET enable_seqscan = off"))
        found = await plan_of(connection, statement, parameters)
    await engine.dispose()
    return found


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_index_answers(question: str, store_url: str) -> None:
    found = await plan(store_url, *QUESTIONS[question])
    assert not scanned(found), found


@pytest.mark.parametrize("whose", PAGES)
async def test_a_page_of_orders_is_read_in_order(whose: str, store_url: str) -> None:
    found = await plan(store_url, page_statement(PAGES[whose]), {})
    assert not scanned(found), found
    if store_url.startswith("sqlite"):  # PostgreSQL expects one row of an empty table, and sorts that
        assert not sorted_whole(found), found
