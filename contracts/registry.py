"""Wire name ↔ class, and who publishes and reads what: the choreography's outer shape, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contracts.auth import SessionRevoked, SigningKeyPublished, UserDisabled, UserErased, UserRegistered
from contracts.catalog import (
    ProductChanged,
    ProductListed,
    ProductRetired,
    StockAdjusted,
    StockCommitted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.envelope import Envelope, Event, UndecodableEventError, parse_data
from contracts.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderFulfilled,
    OrderPaid,
    OrderPaymentRequested,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)


@dataclass(frozen=True)
class ServiceContract:
    """What one service publishes and which facts of the others it reads."""

    publishes: tuple[type[Event], ...]
    reads: tuple[type[Event], ...]


TOKEN_EVENTS: tuple[type[Event], ...] = (SigningKeyPublished, SessionRevoked)
"""What a service needs to verify access tokens offline."""

SERVICES: Mapping[str, ServiceContract] = MappingProxyType(
    {
        "auth": ServiceContract(
            publishes=(UserRegistered, UserDisabled, UserErased, SessionRevoked, SigningKeyPublished),
            reads=(),
        ),
        "catalog": ServiceContract(
            publishes=(
                ProductListed,
                ProductChanged,
                ProductRetired,
                StockAdjusted,
                StockReserved,
                StockRejected,
                StockReleased,
                StockCommitted,
            ),
            reads=(*TOKEN_EVENTS, OrderPlaced, OrderConfirmed, OrderCancelled),
        ),
        "order": ServiceContract(
            publishes=(
                OrderPlaced,
                OrderPaymentRequested,
                OrderConfirmed,
                OrderPaid,
                OrderRejected,
                OrderCancelled,
                OrderFulfilled,
                OrderRefunded,
            ),
            reads=(
                *TOKEN_EVENTS,
                ProductListed,
                ProductChanged,
                ProductRetired,
                StockReserved,
                StockRejected,
                StockReleased,
                StockCommitted,
                PaymentAuthorized,
                PaymentDeclined,
                PaymentCaptured,
                PaymentCaptureFailed,
                PaymentVoided,
                PaymentRefunded,
            ),
        ),
        "payment": ServiceContract(
            publishes=(
                PaymentAuthorized,
                PaymentDeclined,
                PaymentCaptured,
                PaymentCaptureFailed,
                PaymentVoided,
                PaymentRefunded,
            ),
            reads=(*TOKEN_EVENTS, OrderPaymentRequested, OrderConfirmed, OrderCancelled),
        ),
    }
)

EVENT_TYPES: Mapping[str, type[Event]] = MappingProxyType(
    {event.wire_name: event for contract in SERVICES.values() for event in contract.publishes}
)
"""Every event by its wire name, which is its routing key too."""


def typed(envelope: Envelope) -> Event:
    """The event inside the envelope as its class.

    Raises:
        UndecodableEventError: the type is unknown here, or the data does not fit it.
    """
    event_type = EVENT_TYPES.get(envelope.type)
    if event_type is None:
        raise UndecodableEventError(f"unknown event type {envelope.type[:80]!r}")
    return parse_data(event_type, envelope.data)
