"""What is known of an order here, in whatever order we learn it: to be paid, confirmed, cancelled."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.seedwork import AggregateRoot
from contracts.money import Money
from payment_svc.domain.errors import AlreadyPaidError, OrderNotPayableError


class PayableState(StrEnum):
    """OPEN → CONFIRMED | CANCELLED; a confirmed order may still be cancelled. CANCELLED is for ever."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Payable(AggregateRoot):
    """One order. `amount`, `user_id` and `pay_by` are None while its payment has not been requested.

    Facts about an order come in any order and any number of times. Each fills in its own fields, so the result is the
    same whichever came first; a cancellation that comes before the request leaves a tombstone nobody can pay.
    `payment_id` is the latest attempt, the only one that can be alive.
    """

    def __init__(
        self,
        order_id: UUID,
        *,
        user_id: UUID | None = None,
        amount: Money | None = None,
        pay_by: datetime | None = None,
        payment_id: UUID | None = None,
        confirmed_payment_id: UUID | None = None,
        cancel_reason: str | None = None,
    ) -> None:
        super().__init__()
        self.order_id = order_id
        self.user_id = user_id
        self.amount = amount
        self.pay_by = pay_by
        self.payment_id = payment_id
        self.confirmed_payment_id = confirmed_payment_id
        self.cancel_reason = cancel_reason

    @property
    def state(self) -> PayableState:
        if self.cancel_reason is not None:
            return PayableState.CANCELLED
        if self.confirmed_payment_id is not None:
            return PayableState.CONFIRMED
        return PayableState.OPEN

    @property
    def cancelled(self) -> bool:
        return self.cancel_reason is not None

    def belongs_to(self, user_id: UUID) -> bool:
        return self.user_id is not None and self.user_id == user_id

    def request(self, user_id: UUID, amount: Money, pay_by: datetime) -> None:
        """Payment is asked for. The first request stands; order_svc makes one per order."""
        if self.amount is None:
            self.user_id, self.amount, self.pay_by = user_id, amount, pay_by

    def confirm(self, payment_id: UUID) -> None:
        """The order stands on this payment. The first confirmation stands."""
        if self.confirmed_payment_id is None:
            self.confirmed_payment_id = payment_id

    def cancel(self, reason: str) -> None:
        """The order will not be fulfilled. The first reason stands."""
        if self.cancel_reason is None:
            self.cancel_reason = reason

    def amount_due(self, now: datetime) -> Money:
        """What an attempt made now has to pay.

        Raises:
            OrderNotPayableError: cancelled, too late, not requested, or nothing to pay.
            AlreadyPaidError: the order is confirmed.
        """
        if self.cancelled:
            raise OrderNotPayableError("This order is cancelled.")
        if self.confirmed_payment_id is not None:
            raise AlreadyPaidError
        if not self.amount or self.pay_by is None:
            raise OrderNotPayableError("There is nothing to pay for this order.")
        if now > self.pay_by:
            raise OrderNotPayableError("The time to pay for this order is over.")
        return self.amount
