"""HTTP bodies of payment_svc, and how payments and refunds look from outside."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from chassis.fields import Answer, Body, CanonicalUuid, Text
from contracts.money import Currency, Money
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.domain.refund import Refund, RefundState


class PayOrder(Body):
    """Try to pay an order with a payment method of the provider."""

    order_id: CanonicalUuid
    payment_method: Annotated[str, Text(80)]


class RefundAmount(Body):
    amount: Annotated[int, Field(ge=1, le=10**12)]
    currency: Currency


class RefundPayment(Body):
    """Give money back; without `amount` all that is left."""

    reason: Annotated[str, Text(200)]
    amount: RefundAmount | None = None


class RefundAnswer(Answer):
    """One refund; `pending` until the provider has said what became of it."""

    id: UUID
    payment_id: UUID
    amount: Money
    reason: str
    status: RefundState
    failure_code: str | None = None
    created_at: datetime

    @classmethod
    def of(cls, refund: Refund) -> "RefundAnswer":
        return cls(
            id=refund.id,
            payment_id=refund.payment_id,
            amount=refund.amount,
            reason=refund.reason,
            status=refund.state,
            failure_code=refund.failure_code,
            created_at=refund.created_at,
        )


class PaymentAnswer(Answer):
    """One attempt. `decline_code` says why it was declined; `next_action` what the customer has to do, then confirm."""

    id: UUID
    order_id: UUID
    status: PaymentState
    amount: Money
    captured: Money
    refunded: Money
    payment_method: str
    decline_code: str | None = None
    next_action: dict[str, str] | None = None
    created_at: datetime
    refunds: list[RefundAnswer] = Field(default_factory=list)

    @classmethod
    def of(cls, payment: Payment, refunds: list[RefundAnswer] | None = None) -> "PaymentAnswer":
        currency = payment.amount.currency
        return cls(
            id=payment.id,
            order_id=payment.order_id,
            status=payment.state,
            amount=payment.amount,
            captured=Money(amount=payment.captured, currency=currency),
            refunded=Money(amount=payment.refunded, currency=currency),
            payment_method=payment.payment_method,
            decline_code=payment.failure_code,
            next_action=dict(payment.next_action) if payment.next_action is not None else None,
            created_at=payment.created_at,
            refunds=refunds or [],
        )


class PaymentList(Answer):
    """The attempts to pay one order, oldest first."""

    items: list[PaymentAnswer]
