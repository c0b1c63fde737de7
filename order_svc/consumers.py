"""What order_svc listens to: the choreography as one table."""

from functools import partial
from typing import Final

from chassis.consumer import Subscriptions
from chassis.projections import Projection
from chassis.token_feed import token_projections
from contracts.catalog import (
    ProductChanged,
    ProductListed,
    ProductRetired,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)
from order_svc import saga
from order_svc.handlers import keep_product, keep_retired_product
from order_svc.settings import OrderSettings
from order_svc.store import TOKENS, products

PROJECTIONS: Final = (
    Projection(products, (ProductListed, ProductChanged, ProductRetired)),
    *token_projections(TOKENS),
)
"""What can be made again from the others' events; orders and their timeline are our own decisions."""


def subscriptions(settings: OrderSettings) -> Subscriptions:
    """Event → handler."""
    return {
        ProductListed: keep_product,
        ProductChanged: keep_product,
        ProductRetired: keep_retired_product,
        StockReserved: partial(saga.on_stock_reserved, pay_within=settings.pay_within),
        StockRejected: saga.on_stock_rejected,
        StockReleased: saga.on_stock_released,
        StockCommitted: saga.on_stock_committed,
        PaymentAuthorized: saga.on_payment_authorized,
        PaymentDeclined: saga.on_payment_declined,
        PaymentCaptured: saga.on_payment_captured,
        PaymentCaptureFailed: saga.on_payment_capture_failed,
        PaymentVoided: saga.on_payment_voided,
        PaymentRefunded: saga.on_payment_refunded,
    }
