"""No sweep, prune or request of payment_svc reads a table that grows from one end to the other."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.housekeeping import prunable
from payment_svc import arrivals, courier, queries, reconciler
from payment_svc.prunes import PRUNES
from payment_svc.tables import RUNTIME
from tests.support.plans import plan_of, scanned

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=1)

QUESTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a payment": (queries._PAYMENT, {"payment_id": ID}),
    "an order's payments": (queries._OF_ORDER, {"order_id": ID}),
    "their refunds": (queries._REFUNDS, {"payment_ids": [ID]}),
    "orders heard of": (arrivals._KNOWN, {"order_ids": [ID]}),
    "calls that are due": (courier._DUE, {"now": NOW}),
    "differences that are due": (reconciler._DUE, {"now": NOW}),
    "known references": (reconciler._KNOWN, {"references": ["a"]}),
    "old holds": (reconciler._OLD, {"now": NOW, "before": NOW}),
    **{f"prune {one.name}": (one.statement(NOW), {}) for one in (*PRUNES, *prunable(RUNTIME))},
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_index_answers(question: str, migrated: str) -> None:
    statement, parameters = QUESTIONS[question]
    engine = create_async_engine(migrated)
    async with engine.connect() as connection:
        if connection.dialect.name == "postgresql":  # with empty tables it would rightly read them whole
            await connection.execute(sa.text("SET enable_seqscan = off"))
        plan = await plan_of(connection, statement, parameters)
    await engine.dispose()
    assert not scanned(plan), plan
