"""Events payment_svc publishes. One payment is one attempt to pay one order."""

from uuid import UUID

from contracts.envelope import Event
from contracts.money import Money


class PaymentAuthorized(Event, wire_name="payment.authorized.v1", subject="payment_id"):
    """The provider holds `amount` for the order."""

    payment_id: UUID
    order_id: UUID
    amount: Money


class PaymentDeclined(Event, wire_name="payment.declined.v1", subject="payment_id"):
    """The attempt failed for good; `code` says why (`card_declined`, `insufficient_funds`, …). Another may follow."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    code: str


class PaymentCaptured(Event, wire_name="payment.captured.v1", subject="payment_id"):
    """The money is ours."""

    payment_id: UUID
    order_id: UUID
    amount: Money


class PaymentCaptureFailed(Event, wire_name="payment.capture_failed.v1", subject="payment_id"):
    """The provider refused the capture for good; nothing was taken."""

    payment_id: UUID
    order_id: UUID
    code: str


class PaymentVoided(Event, wire_name="payment.voided.v1", subject="payment_id"):
    """The hold is released; nothing was taken."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    reason: str


class PaymentRefunded(Event, wire_name="payment.refunded.v1", subject="payment_id"):
    """`amount` went back with this refund; `total` is the sum of all refunds of the payment so far."""

    payment_id: UUID
    order_id: UUID
    refund_id: UUID
    amount: Money
    total: Money
