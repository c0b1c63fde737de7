"""What the catalog listens to: order's decisions, and auth's keys."""

from types import MappingProxyType
from typing import Final

from catalog_svc.handlers import commit_stock, release_stock, reserve_stock
from chassis.consumer import Subscriptions
from chassis.token_feed import TokenFeed
from contracts.order import OrderCancelled, OrderConfirmed, OrderPlaced

SUBSCRIPTIONS: Final[Subscriptions] = MappingProxyType(
    {
        OrderPlaced: reserve_stock,
        OrderConfirmed: commit_stock,
        OrderCancelled: release_stock,
    }
)


def subscriptions(tokens: TokenFeed) -> Subscriptions:
    """Everything the service reads, token events included."""
    return {**SUBSCRIPTIONS, **tokens.subscriptions}
