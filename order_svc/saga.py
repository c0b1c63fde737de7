"""Order to cash, one step per fact: order_svc owns the flow, the others answer its events and never each other's.

place → stock.reserved → payment.authorized → confirmed → payment.captured → paid. What undoes each step, and what a
late or repeated fact means, is decided by the order itself (domain/order.py). Deadlines are at the end.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from chassis.clock import Clock
from chassis.db import Reader
from chassis.writer import Writer
from contracts.catalog import StockCommitted, StockRejected, StockReleased, StockReserved
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)
from order_svc.commands import ExpireOrder
from order_svc.handlers import expire_order
from order_svc.store import OrderUnitOfWork, orders

EXPIRE_AT_ONCE: Final = 200
OVERDUE: Final = (
    sa.select(orders.c.id)
    .where(orders.c.deadline_at <= sa.bindparam("now"))
    .order_by(orders.c.deadline_at)
    .limit(EXPIRE_AT_ONCE)
)


async def on_stock_reserved(event: StockReserved, uow: OrderUnitOfWork, *, pay_within: timedelta) -> None:
    order = await uow.orders.get(event.order_id)
    order.stock_reserved(uow.now, pay_within)


async def on_stock_rejected(event: StockRejected, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.stock_rejected(uow.now, event.shortages)


async def on_stock_released(event: StockReleased, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.stock_released(uow.now, event.reason)


async def on_stock_committed(event: StockCommitted, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.stock_committed(uow.now)


async def on_payment_authorized(event: PaymentAuthorized, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_authorized(uow.now, event.payment_id, event.amount)


async def on_payment_declined(event: PaymentDeclined, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_declined(uow.now, event.code)


async def on_payment_captured(event: PaymentCaptured, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_captured(uow.now, event.payment_id, event.amount)


async def on_payment_capture_failed(event: PaymentCaptureFailed, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_capture_failed(uow.now, event.payment_id, event.code)


async def on_payment_voided(event: PaymentVoided, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_voided(uow.now, event.payment_id)


async def on_payment_refunded(event: PaymentRefunded, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(event.order_id)
    order.payment_refunded(uow.now, event.total)


def expire_overdue(reader: Reader, writer: Writer[OrderUnitOfWork], clock: Clock) -> Callable[[], Awaitable[int]]:
    """The sweep that ends orders whose stock or payment did not come in time."""

    async def run() -> int:
        rows = await reader.all(OVERDUE, {"now": clock.now()})
        for row in rows:
            await writer.execute(expire_order, ExpireOrder(row["id"]))
        return len(rows)

    return run
