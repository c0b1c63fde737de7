"""Reads of order_svc for GET: rows to views, no aggregate is loaded for change."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Reader, at_most, rows_for
from chassis.problems import ProblemError
from chassis.seedwork import NotFoundError
from order_svc.domain.order import OrderStatus
from order_svc.schemas import OrderPage, OrderView, TimelineEntryView, order_view
from order_svc.store import order_of, orders, timeline

_ONE: Final = sa.select(orders).where(orders.c.id == sa.bindparam("id"))
_ENTRIES: Final = (
    sa.select(timeline)
    .where(timeline.c.order_id == sa.bindparam("order_id"), timeline.c.seq > sa.bindparam("after"))
    .order_by(timeline.c.seq)
)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Whose orders, in which state, from where on. `user_id` None: everybody's, for an operator."""

    user_id: UUID | None
    status: OrderStatus | None
    limit: int
    cursor: str | None


async def find_order(reader: Reader, order_id: UUID, user_id: UUID | None) -> OrderView:
    """One order; `user_id` None: for an operator.

    Raises:
        NotFoundError: there is none, or it is another user's.
    """
    rows = await reader.by_key(_ONE, {"id": order_id})
    if not rows or user_id not in {None, rows[0]["user_id"]}:
        raise NotFoundError("order")
    return order_view(order_of(rows[0]))


async def list_orders(reader: Reader, wanted: OrderFilter) -> OrderPage:
    """A page of orders, newest first.

    Raises:
        ProblemError: 400 bad-cursor.
    """
    rows = await reader.all(page_statement(wanted))
    page = [order_view(order_of(row)) for row in rows[: wanted.limit]]
    more = len(rows) > wanted.limit
    return OrderPage(items=page, next_cursor=_encode_cursor(page[-1].id) if more else None)


def page_statement(wanted: OrderFilter) -> sa.Select[Any]:
    """One page, and an order more if there is one.

    Raises:
        ProblemError: 400 bad-cursor.
    """
    statement = sa.select(orders).order_by(orders.c.id.desc()).limit(at_most(rows_for(wanted.limit)))
    if wanted.user_id is not None:
        statement = statement.where(orders.c.user_id == wanted.user_id)
    if wanted.status is not None:
        statement = statement.where(orders.c.status == wanted.status.value)
    if wanted.cursor is not None:
        statement = statement.where(orders.c.id < _decode_cursor(wanted.cursor))
    return statement


async def timeline_of(reader: Reader, order_id: UUID, after: int = 0) -> list[TimelineEntryView]:
    """What happened to an order since entry `after`, oldest first. Check first that the reader may see it."""
    rows = await reader.by_key(_ENTRIES, {"order_id": order_id, "after": after})
    return [
        TimelineEntryView(
            seq=row["seq"],
            at=row["at"],
            service=row["service"],
            event=row["event"],
            status=OrderStatus(row["status"]),
            text=row["text"],
        )
        for row in rows
    ]


def _encode_cursor(order_id: UUID) -> str:
    return base64.urlsafe_b64encode(order_id.bytes).decode().rstrip("=")


def _decode_cursor(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise ProblemError(400, "bad-cursor") from None
