"""One attempt to pay one order: its states, the facts it makes known, and the postings each of them is worth."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from chassis.seedwork import AggregateRoot, Transitions
from contracts.money import Money
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)
from payment_svc.domain import ledger
from payment_svc.domain.errors import RefundExceedsCaptureError
from payment_svc.domain.ledger import Posting


class PaymentState(StrEnum):
    """How far an attempt has come. PENDING, CAPTURING and VOIDING wait for the provider."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DECLINED = "declined"
    VOIDING = "voiding"
    VOIDED = "voided"
    CAPTURE_FAILED = "capture_failed"


S = PaymentState

# The provider's word about money beats our plans, and its own earlier word: a capture may show while we thought of a
# mere hold, of a void, or of nothing at all.
TRANSITIONS: Final = Transitions(
    {
        S.PENDING: {S.REQUIRES_ACTION, S.AUTHORIZED, S.DECLINED},
        S.REQUIRES_ACTION: {S.PENDING, S.AUTHORIZED, S.DECLINED, S.VOIDING},
        S.AUTHORIZED: {S.CAPTURING, S.CAPTURED, S.VOIDING, S.VOIDED},
        S.CAPTURING: {S.CAPTURED, S.CAPTURE_FAILED},
        S.VOIDING: {S.VOIDED, S.CAPTURED},
        S.VOIDED: {S.CAPTURED},
        S.DECLINED: {S.CAPTURED},
        S.CAPTURE_FAILED: {S.CAPTURED},
        S.CAPTURED: {S.PARTIALLY_REFUNDED, S.REFUNDED},
        S.PARTIALLY_REFUNDED: {S.PARTIALLY_REFUNDED, S.REFUNDED},
    }
)

ACTIVE: Final = (S.PENDING, S.REQUIRES_ACTION, S.AUTHORIZED, S.CAPTURING)
"""An attempt in one of these may yet take money, so there is at most one per order."""


class Payment(AggregateRoot):
    """An attempt. `reference` is the provider's name for it; sums are in `amount`'s currency.

    `held` is what the provider holds and has not taken; `refunding` is on its way back; refunded + refunding never
    pass `captured`, whatever the provider would let through.
    """

    def __init__(
        self,
        id: UUID,
        *,
        order_id: UUID,
        user_id: UUID,
        amount: Money,
        payment_method: str,
        created_at: datetime,
        state: PaymentState = PaymentState.PENDING,
        reference: str | None = None,
        next_action: Mapping[str, str] | None = None,
        failure_code: str | None = None,
        held: int = 0,
        captured: int = 0,
        refunded: int = 0,
        refunding: int = 0,
        confirmations: int = 0,
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.id = id
        self.order_id = order_id
        self.user_id = user_id
        self.amount = amount
        self.payment_method = payment_method
        self.created_at = created_at
        self.state = state
        self.reference = reference
        self.next_action = next_action
        self.failure_code = failure_code
        self.held = held
        self.captured = captured
        self.refunded = refunded
        self.refunding = refunding
        self.confirmations = confirmations
        self._postings: list[Posting] = []

    @property
    def refundable(self) -> Money:
        """What was taken and is neither given back nor on its way."""
        return self._money(self.captured - self.refunded - self.refunding)

    @property
    def total_refunded(self) -> Money:
        return self._money(self.refunded)

    def may_become(self, state: PaymentState) -> bool:
        """Whether a provider's answer is news; if not, it came late or twice and changes nothing."""
        return TRANSITIONS.allows(self.state, state)

    def pull_postings(self) -> list[Posting]:
        """The postings made since the last call, oldest first."""
        postings, self._postings = self._postings, []
        return postings

    def require_action(self, reference: str, next_action: Mapping[str, str]) -> None:
        """The provider wants the customer to prove who they are."""
        self.state = TRANSITIONS.move(self.state, S.REQUIRES_ACTION)
        self.reference, self.next_action = reference, next_action

    def resume(self) -> None:
        """The customer says they did what was required; the provider is asked again."""
        self.state = TRANSITIONS.move(self.state, S.PENDING)
        self.next_action = None
        self.confirmations += 1

    def authorize(self, reference: str) -> None:
        """The provider holds the whole amount."""
        self.state = TRANSITIONS.move(self.state, S.AUTHORIZED)
        self.reference, self.next_action = reference, None
        self.held = self.amount.amount
        self._postings.append(ledger.held(self.id, self.amount))
        self.record(PaymentAuthorized(payment_id=self.id, order_id=self.order_id, amount=self.amount))

    def decline(self, code: str, reference: str | None = None) -> None:
        """The attempt failed for good; the order may be paid with another."""
        self.state = TRANSITIONS.move(self.state, S.DECLINED)
        self.reference, self.next_action = reference or self.reference, None
        self.failure_code = code
        self.record(PaymentDeclined(payment_id=self.id, order_id=self.order_id, amount=self.amount, code=code))

    def begin_capture(self) -> None:
        self.state = TRANSITIONS.move(self.state, S.CAPTURING)

    def capture(self) -> None:
        """The whole amount was taken."""
        self.state = TRANSITIONS.move(self.state, S.CAPTURED)
        self._end_hold()
        self.captured = self.amount.amount
        self._postings.append(ledger.captured(self.id, self.amount))
        self.record(PaymentCaptured(payment_id=self.id, order_id=self.order_id, amount=self.amount))

    def fail_capture(self, code: str) -> None:
        """The provider will not capture, now or ever; the hold is gone."""
        self.state = TRANSITIONS.move(self.state, S.CAPTURE_FAILED)
        self._end_hold()
        self.failure_code = code
        self.record(PaymentCaptureFailed(payment_id=self.id, order_id=self.order_id, code=code))

    def refuse_capture(self, code: str) -> None:
        """The order was confirmed on a hold that is gone already: say so, or it waits for its money for ever."""
        self.record(PaymentCaptureFailed(payment_id=self.id, order_id=self.order_id, code=code))

    def begin_void(self) -> None:
        self.state = TRANSITIONS.move(self.state, S.VOIDING)
        self.next_action = None

    def void(self, reason: str) -> None:
        """The hold, if there was one, is let go; nothing was taken."""
        self.state = TRANSITIONS.move(self.state, S.VOIDED)
        self._end_hold()
        self.record(PaymentVoided(payment_id=self.id, order_id=self.order_id, amount=self.amount, reason=reason))

    def begin_refund(self, amount: Money) -> None:
        """Put `amount` aside for a refund.

        Raises:
            RefundExceedsCaptureError: there is not so much left, or it is another currency.
        """
        left = self.refundable
        if amount.currency != left.currency or not 0 < amount.amount <= left.amount:
            raise RefundExceedsCaptureError
        self.refunding += amount.amount

    def refund(self, refund_id: UUID, amount: Money) -> None:
        """`amount`, put aside before, went back to the customer."""
        whole = self.refunded + amount.amount == self.captured
        self.state = TRANSITIONS.move(self.state, S.REFUNDED if whole else S.PARTIALLY_REFUNDED)
        self.refunding -= amount.amount
        self.refunded += amount.amount
        self._postings.append(ledger.refunded(refund_id, amount))
        self.record(
            PaymentRefunded(
                payment_id=self.id,
                order_id=self.order_id,
                refund_id=refund_id,
                amount=amount,
                total=self.total_refunded,
            )
        )

    def fail_refund(self, amount: Money) -> None:
        """The provider will not give `amount` back; it can be asked for again."""
        self.refunding -= amount.amount

    def _end_hold(self) -> None:
        if self.held:
            self._postings.append(ledger.hold_ended(self.id, self._money(self.held)))
            self.held = 0

    def _money(self, amount: int) -> Money:
        return Money(amount=amount, currency=self.amount.currency)
