"""HTTP bodies of order_svc: what clients send and get."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from chassis.fields import Answer, Body
from contracts.money import MAX_AMOUNT, Currency, Money
from order_svc.commands import PlaceOrder
from order_svc.domain.order import Line, Order, OrderStatus
from order_svc.domain.pricing import RequestedLine

MAX_LINES = 100
MAX_QUANTITY = 999

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{0,31}$")]


class PlaceOrderLine(Body):
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class ExpectedTotal(Body):
    amount: Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
    currency: Currency


class PlaceOrderBody(Body):
    """Up to 100 lines, each product once. Prices are the shop's; `expected_total` guards against a changed one."""

    lines: Annotated[list[PlaceOrderLine], Field(min_length=1, max_length=MAX_LINES)]
    expected_total: ExpectedTotal | None = None

    @model_validator(mode="after")
    def _each_product_once(self) -> Self:
        if len({line.sku for line in self.lines}) < len(self.lines):
            raise ValueError("each product may be in one line only")
        return self

    def command(self, user_id: UUID) -> PlaceOrder:
        expected = self.expected_total
        return PlaceOrder(
            user_id=user_id,
            lines=tuple(RequestedLine(line.sku, line.quantity) for line in self.lines),
            expected_total=Money(amount=expected.amount, currency=expected.currency) if expected else None,
        )


class OrderLineView(Answer):
    sku: str
    title: str
    quantity: int
    unit_price: Money
    line_total: Money


class OrderView(Answer):
    """An order as its owner and operators see it. `pay_by` is there while it waits for payment."""

    id: UUID
    status: OrderStatus
    status_reason: str | None
    total: Money
    refunded: Money
    lines: list[OrderLineView]
    payment_id: UUID | None
    placed_at: datetime
    pay_by: datetime | None
    version: int
    actions: list[str]


class OrderPage(Answer):
    """Newest first; give `next_cursor` back as `cursor` for the next page, null at the end."""

    items: list[OrderView]
    next_cursor: str | None


class TimelineEntryView(Answer):
    """One thing that happened: `status` is the order's after it, `service` who brought the fact."""

    seq: int
    at: datetime
    service: str
    event: str
    status: OrderStatus
    text: str


class Timeline(Answer):
    items: list[TimelineEntryView]


def order_view(order: Order) -> OrderView:
    """The order for its owner."""
    waiting = order.status is OrderStatus.AWAITING_PAYMENT
    actions = [*(["pay"] if waiting else []), *(["cancel"] if order.cancellable else [])]
    return OrderView(
        id=order.id,
        status=order.status,
        status_reason=order.status_reason,
        total=order.total,
        refunded=Money(amount=order.refunded, currency=order.total.currency),
        lines=list(_line_views(order.lines)),
        payment_id=order.payment_id,
        placed_at=order.placed_at,
        pay_by=order.deadline_at if waiting else None,
        version=order.version,
        actions=actions,
    )


def _line_views(lines: Iterable[Line]) -> Iterable[OrderLineView]:
    for line in lines:
        yield OrderLineView(
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            unit_price=line.unit_price,
            line_total=line.total,
        )
