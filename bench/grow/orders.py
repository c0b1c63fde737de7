"""order_svc: a year of orders with their timelines, and what it is asked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.grow.asking import BOUGHT, Asked, Headers, Request
from bench.grow.seed import DIALECTS, Known, Rows, delivery, insert
from order_svc.store import products

_LINES: Final = '[{"sku": "BK-000001", "title": "One", "quantity": 1, "unit_price": 1000}]'
_TIMELINE: Final = Rows("""
    INSERT INTO order_timeline (order_id, seq, at, service, event, status, text)
    SELECT order_id, seq.column1, at, 'order', 'order.placed', 'placed', 'What happened to the order'
    FROM seed CROSS JOIN (VALUES (1), (2), (3), (4), (5)) AS seq""")


async def fill(connection: AsyncConnection, listed: int, now: datetime) -> None:
    """The orders of the seed with all that belongs to them, and `listed` products."""
    rows = [
        {
            "sku": f"BK-{n:06}",
            "title": f"Title {n}",
            "price_amount": 1000,
            "currency": "EUR",
            "orderable": True,
            "version": 1,
        }
        for n in range(listed)
    ]
    await connection.execute(sa.insert(products), rows)
    dialect = DIALECTS[connection.dialect.name]
    orders = Rows(f"""
    INSERT INTO orders (id, user_id, status, lines, total_amount, currency, captured_amount, refunded_amount,
        payment_id, placed_at, version, entries)
    SELECT order_id, user_id, CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'fulfilled' END,
        {dialect.json.format(text=_LINES)}, 1000, 'EUR', CASE n % 20 WHEN 10 THEN 0 ELSE 1000 END,
        CASE n % 20 WHEN 0 THEN 1000 ELSE 0 END, payment_id, at, 4, 5
    FROM seed""")  # noqa: S608 - our own constants
    kept = delivery(dialect.random, sends=("order.placed.v1", 4), hears=("stock.reserved.v1", 4), route="POST /orders")
    await insert(connection, [orders, _TIMELINE, *kept], now)


def questions(customer: Headers, operator: Headers, orders: Sequence[Known]) -> list[Asked]:
    """An order of the seed is asked for by an operator, who may see them all."""

    def place(number: int) -> Request:
        body = {"lines": [{"sku": f"BK-{number % BOUGHT:06}", "quantity": 1}]}
        return Request("POST", "/orders", {**customer, "Idempotency-Key": str(uuid4())}, body)

    def order(number: int) -> Request:
        return Request("GET", f"/orders/{orders[number % len(orders)].order_id}", operator)

    return [
        Asked("order", "`POST /orders`", place),
        Asked("order", "an order", order),
        Asked("order", "a customer's orders", lambda _: Request("GET", "/orders", customer)),
    ]
