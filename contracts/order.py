"""Events order_svc publishes. order_svc alone decides an order's state; these are its decisions."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.catalog import Quantity, Shortage
from contracts.envelope import Event
from contracts.money import Money


class OrderLine(BaseModel):
    """One product of an order at the price it was ordered for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    quantity: Quantity
    unit_price: Money


class OrderPlaced(Event, wire_name="order.placed.v1", subject="order_id"):
    """A customer ordered. `total` is the sum of the lines; stock not held by `reserve_by` is too late."""

    order_id: UUID
    user_id: UUID
    lines: list[OrderLine]
    total: Money
    reserve_by: datetime


class OrderPaymentRequested(Event, wire_name="order.payment_requested.v1", subject="order_id"):
    """The stock is held and `user_id` may pay `amount` until `pay_by`."""

    order_id: UUID
    user_id: UUID
    amount: Money
    pay_by: datetime


class OrderConfirmed(Event, wire_name="order.confirmed.v1", subject="order_id"):
    """The payment is authorised and the order stands: sell the stock, capture the money."""

    order_id: UUID
    payment_id: UUID


class OrderPaid(Event, wire_name="order.paid.v1", subject="order_id"):
    """The money has been captured."""

    order_id: UUID
    user_id: UUID
    payment_id: UUID
    amount: Money


class OrderRejected(Event, wire_name="order.rejected.v1", subject="order_id"):
    """The order ended before any money: its stock could not be held."""

    order_id: UUID
    reason: str
    shortages: list[Shortage]


class OrderCancelled(Event, wire_name="order.cancelled.v1", subject="order_id"):
    """The order will not be fulfilled: free its stock, void or refund its money. `refund`: it was paid already."""

    order_id: UUID
    reason: str
    refund: bool = False


class OrderFulfilled(Event, wire_name="order.fulfilled.v1", subject="order_id"):
    """The goods left the house."""

    order_id: UUID


class OrderRefunded(Event, wire_name="order.refunded.v1", subject="order_id"):
    """Everything captured for the order went back to the customer."""

    order_id: UUID
    amount: Money
