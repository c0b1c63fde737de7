"""What must happen to an order's money next: one rule over what is known, asked again after every change.

Because it looks at the state and not at what happened last, every order of arrival ends alike: a cancelled order's
money is let go or given back, a confirmed one's is taken, once.
"""

from enum import StrEnum

from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment, PaymentState


class Step(StrEnum):
    """The next thing to ask of the provider."""

    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


def next_step(payable: Payable, payment: Payment) -> Step | None:
    """What to do now; None while the provider has to answer first, or when everything is as it should be.

    An order is captured only when it was confirmed on this very payment and not cancelled; one confirmed on another
    payment will never take this one.
    """
    elsewhere = payable.confirmed_payment_id not in (None, payment.id)
    if elsewhere and payment.state in (PaymentState.AUTHORIZED, PaymentState.REQUIRES_ACTION):
        return Step.VOID
    if payable.cancelled:
        if payment.state in (PaymentState.AUTHORIZED, PaymentState.REQUIRES_ACTION):
            return Step.VOID
        return Step.REFUND if payment.refundable else None
    if payable.confirmed_payment_id == payment.id and payment.state is PaymentState.AUTHORIZED:
        return Step.CAPTURE
    return None
