"""What order_svc tells of its orders in its metrics: how many are under way in each state, and since when."""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from chassis.clock import Clock
from chassis.db import Reader
from chassis.observer import Figure
from order_svc.domain.order import OrderStatus
from order_svc.store import orders

UNDER_WAY: Final = (
    OrderStatus.PENDING,
    OrderStatus.AWAITING_PAYMENT,
    OrderStatus.CONFIRMED,
    OrderStatus.REFUNDING,
)
"""States an order leaves by itself, by a fact or by its deadline. The others are where orders rest, and grow for ever:
how many get there is a rate of the events published."""


_OPEN: Final = orders.c.status.in_([status.value for status in UNDER_WAY])
COUNTS: Final = sa.select(orders.c.status, sa.func.count().label("count")).where(_OPEN).group_by(orders.c.status)
OLDEST: Final = (
    sa.select(orders.c.status, sa.func.min(orders.c.placed_at, type_=orders.c.placed_at.type).label("since"))
    .where(_OPEN)
    .group_by(orders.c.status)
)


def figures(reader: Reader, clock: Clock) -> tuple[Figure, Figure]:
    """`orders_under_way` and `orders_under_way_oldest_age_seconds`, by status; both read an index of the open ones."""

    async def counts() -> Mapping[str, float]:
        found = await reader.all(COUNTS)
        return dict.fromkeys(UNDER_WAY, 0.0) | {row["status"]: float(row["count"]) for row in found}

    async def ages() -> Mapping[str, float]:
        found = await reader.all(OLDEST)
        now = clock.now()
        return dict.fromkeys(UNDER_WAY, 0.0) | {
            row["status"]: max(0.0, (now - row["since"]).total_seconds()) for row in found
        }

    return (
        Figure("orders_under_way", "Orders that are not where they can rest, by status.", "status", counts),
        Figure(
            "orders_under_way_oldest_age_seconds",
            "Time since the oldest order in this status was placed; 0 if there is none.",
            "status",
            ages,
        ),
    )
