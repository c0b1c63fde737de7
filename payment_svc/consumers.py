"""What payment_svc listens to: order's decisions, and auth's keys."""

from types import MappingProxyType
from typing import Final

from chassis.consumer import Subscriptions
from chassis.projections import Projection
from chassis.token_feed import TokenFeed, token_projections
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from payment_svc.handlers import (
    keep_cancellation,
    keep_confirmation,
    keep_request,
    on_order_cancelled,
    on_order_confirmed,
    on_payment_requested,
)
from payment_svc.tables import TOKENS, payables

SUBSCRIPTIONS: Final[Subscriptions] = MappingProxyType(
    {
        OrderPaymentRequested: on_payment_requested,
        OrderConfirmed: on_order_confirmed,
        OrderCancelled: on_order_cancelled,
    }
)

PROJECTIONS: Final = (
    Projection(
        payables,
        (OrderPaymentRequested, OrderConfirmed, OrderCancelled),
        own=frozenset({"payment_id"}),
        kept_by={
            OrderPaymentRequested: keep_request,
            OrderConfirmed: keep_confirmation,
            OrderCancelled: keep_cancellation,
        },
        in_parts=True,
    ),
    *token_projections(TOKENS),
)
"""What can be made again from the others' events. Which payment is an order's latest is our own fact."""


def subscriptions(tokens: TokenFeed) -> Subscriptions:
    """Everything the service reads, token events included."""
    return {**SUBSCRIPTIONS, **tokens.subscriptions}
