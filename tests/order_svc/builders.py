"""Orders and facts about them, for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.catalog import ProductListed, Shortage, StockLine, StockReserved
from contracts.money import Money
from contracts.payment import PaymentAuthorized, PaymentCaptured
from order_svc.domain.order import Line, Order, OrderStatus
from tests.support.harness import Harness

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PRICE = Money(amount=1250, currency="EUR")
S = OrderStatus


def a_product(sku: str = "BOOK-1", *, amount: int = 1250, currency: str = "EUR", version: int = 1) -> ProductListed:
    price = Money(amount=amount, currency=currency)
    return ProductListed(sku=sku, title=f"Title of {sku}", category="Novels", price=price, version=version)


def an_order(status: OrderStatus = S.PENDING) -> Order:
    """An order that came to `status` the usual way."""
    order = Order.place(
        id=uuid4(),
        user_id=uuid4(),
        lines=[Line("BOOK-1", "A book", 2, PRICE)],
        now=NOW,
        stock_within=timedelta(minutes=10),
    )
    payment_id = uuid4()
    path = {
        S.PENDING: "",
        S.AWAITING_PAYMENT: "r",
        S.CONFIRMED: "ra",
        S.PAID: "rac",
        S.FULFILLED: "racf",
        S.REJECTED: "x",
        S.CANCELLED: "k",
        S.REFUNDING: "rack",
        S.REFUNDED: "rackm",
    }[status]
    for step in path:
        match step:
            case "r":
                order.stock_reserved(NOW, timedelta(minutes=15))
            case "x":
                order.stock_rejected(NOW, [Shortage(sku="BOOK-1", requested=2, available=0)])
            case "a":
                order.payment_authorized(NOW, payment_id, order.total)
            case "c":
                order.payment_captured(NOW, payment_id, order.total)
            case "f":
                order.fulfil(NOW)
            case "k":
                order.cancel(NOW)
            case "m":
                order.payment_refunded(NOW, order.total)
    assert order.status is status
    order.pull_events()
    order.pull_entries()
    return order


async def place(
    orders: Harness, user_id: UUID, *, sku: str = "BOOK-1", quantity: int = 1, key: str | None = None
) -> dict[str, Any]:
    """Place an order over HTTP; the answer's body."""
    answer = await post_order(orders, user_id, {"lines": [{"sku": sku, "quantity": quantity}]}, key=key)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def post_order(orders: Harness, user_id: UUID, body: dict[str, Any], *, key: str | None = None) -> httpx.Response:
    headers = orders.as_user(user_id) | {"Idempotency-Key": key or str(uuid4())}
    return await orders.http.post("/orders", json=body, headers=headers)


async def get_order(orders: Harness, user_id: UUID, order_id: str) -> dict[str, Any]:
    answer = await orders.http.get(f"/orders/{order_id}", headers=orders.as_user(user_id))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def reserved(order: dict[str, Any]) -> StockReserved:
    lines = [StockLine(sku=line["sku"], quantity=line["quantity"]) for line in order["lines"]]
    return StockReserved(order_id=order["id"], lines=lines, expires_at=NOW + timedelta(days=400))


def authorized(order: dict[str, Any], payment_id: UUID) -> PaymentAuthorized:
    return PaymentAuthorized(payment_id=payment_id, order_id=order["id"], amount=Money(**order["total"]))


def captured(order: dict[str, Any], payment_id: UUID) -> PaymentCaptured:
    return PaymentCaptured(payment_id=payment_id, order_id=order["id"], amount=Money(**order["total"]))
