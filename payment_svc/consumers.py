"""What payment_svc listens to: order's decisions, and auth's keys."""

from types import MappingProxyType
from typing import Final

from chassis.consumer import Subscriptions
from chassis.token_feed import TokenFeed
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from payment_svc.handlers import on_order_cancelled, on_order_confirmed, on_payment_requested

SUBSCRIPTIONS: Final[Subscriptions] = MappingProxyType(
    {
        OrderPaymentRequested: on_payment_requested,
        OrderConfirmed: on_order_confirmed,
        OrderCancelled: on_order_cancelled,
    }
)


def subscriptions(tokens: TokenFeed) -> Subscriptions:
    """Everything the service reads, token events included."""
    return {**SUBSCRIPTIONS, **tokens.subscriptions}
