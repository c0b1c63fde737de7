"""Orders on their way, for an operator: how many wait in each state, since when, and which have waited longest."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Query
from sqlalchemy.engine import RowMapping

from chassis.audit_routes import Running
from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer
from chassis.operator_api import RareRoute
from order_svc.domain.order import OrderStatus
from order_svc.store import orders, timeline

MOVING: Final = (
    OrderStatus.PENDING,
    OrderStatus.AWAITING_PAYMENT,
    OrderStatus.CONFIRMED,
    OrderStatus.REFUNDING,
)
"""States an order leaves by itself. A paid one waits for somebody to pack it, which is no trouble of ours."""


class StateAge(Answer):
    """`oldest_since`: when the order that has been in this state longest came into it."""

    status: OrderStatus
    count: int
    oldest_since: datetime


class UnfinishedOrder(Answer):
    """An order by its id and no more; `deadline_at` is when it is ended if nothing happens."""

    id: UUID
    status: OrderStatus
    since: datetime
    deadline_at: datetime | None


class Unfinished(Answer):
    """`oldest` are the orders that have not moved for longest, oldest first."""

    at: datetime
    states: list[StateAge]
    oldest: list[UnfinishedOrder]


router = APIRouter(prefix="/orders/operations", tags=["operations"], route_class=RareRoute)


@router.get("/unfinished")
async def read_unfinished(
    principal: Operator, runtime: Running, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Unfinished:
    """Orders on their way, by state and age."""
    return Unfinished(
        at=runtime.clock.now(),
        states=[StateAge.model_validate(dict(row)) for row in await _states(runtime.reader)],
        oldest=[UnfinishedOrder.model_validate(dict(row)) for row in await _oldest(runtime.reader, limit)],
    )


def moving() -> sa.Subquery:
    """Orders on their way, each with the time of its last timeline entry."""
    o = orders.c
    return (
        sa.select(o.id, o.status, o.deadline_at, sa.func.max(timeline.c.at).label("since"))
        .join(timeline, timeline.c.order_id == o.id)
        .where(o.status.in_([status.value for status in MOVING]))
        .group_by(o.id, o.status, o.deadline_at)
        .subquery()
    )


async def _states(reader: Reader) -> Sequence[RowMapping]:
    m = moving().c
    statement: sa.Select[Any] = sa.select(
        m.status, sa.func.count().label("count"), sa.func.min(m.since).label("oldest_since")
    )
    return await reader.all(statement.group_by(m.status).order_by(m.status))


async def _oldest(reader: Reader, limit: int) -> Sequence[RowMapping]:
    m = moving().c
    return await reader.all(sa.select(m.id, m.status, m.since, m.deadline_at).order_by(m.since, m.id).limit(limit))
