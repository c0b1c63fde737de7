"""Where the provider's books and ours differ: how that is told, and how long it is looked at before people have to."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from chassis.seedwork import AggregateRoot
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.providers.port import IntentStatus, Snapshot


class Difference(StrEnum):
    """What differs. STRAY: we made no payment of this reference. MISSING: the provider has none."""

    AMOUNT = "amount"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    HELD = "held"
    STRAY = "stray"
    MISSING = "missing"


class DiscrepancyState(StrEnum):
    """SUSPECTED until looked at a few times, then OPEN for an operator; SETTLED as soon as both agree."""

    SUSPECTED = "suspected"
    OPEN = "open"
    SETTLED = "settled"


GRACE: Final = timedelta(seconds=10)
"""An answer may be on its way, so a difference that was listed is looked at a little later."""

LOOKS: Final = 3
_PAUSES: Final = (GRACE, timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=10))


class Discrepancy(AggregateRoot):
    """One payment of the provider, by its reference. The ids are those its metadata names."""

    def __init__(
        self,
        reference: str,
        difference: Difference,
        *,
        found_at: datetime,
        next_at: datetime,
        payment_id: UUID | None = None,
        order_id: UUID | None = None,
        detail: str = "",
        state: DiscrepancyState = DiscrepancyState.SUSPECTED,
        looks: int = 0,
    ) -> None:
        super().__init__()
        self.reference = reference
        self.difference = difference
        self.found_at = found_at
        self.next_at = next_at
        self.payment_id = payment_id
        self.order_id = order_id
        self.detail = detail
        self.state = state
        self.looks = looks

    @property
    def settled(self) -> bool:
        return self.state is DiscrepancyState.SETTLED

    def suspect(self, difference: Difference, now: datetime) -> None:
        """It was listed as different (again). One that is being looked at already stays as it is."""
        if self.settled:
            self.difference, self.state = difference, DiscrepancyState.SUSPECTED
            self.looks, self.found_at, self.next_at = 0, now, now + GRACE

    def still(self, difference: Difference, detail: str, now: datetime) -> bool:
        """A look found it. True if this was the one after which an operator has to look."""
        self.difference, self.detail = difference, detail[:200]
        self.looks += 1
        self.wait(now)
        if self.looks != LOOKS:
            return False
        self.state = DiscrepancyState.OPEN
        return True

    def wait(self, now: datetime) -> None:
        """Nothing can be said now: look again, ever more rarely."""
        self.next_at = now + _PAUSES[min(self.looks, len(_PAUSES) - 1)]

    def settle(self, now: datetime) -> None:
        """Both books agree. `next_at` becomes when a payment that is still open may be looked at again."""
        self.state, self.next_at = DiscrepancyState.SETTLED, now + OLD_HOLD


OLD_HOLD: Final = timedelta(hours=1)
"""Longer than any order waits for its payment: what is still held or unauthenticated then is looked at."""


def difference(payment: Payment, there: Snapshot) -> Difference | None:
    """How the provider's view of a payment differs from ours; None if they agree."""
    if there.amount != payment.amount:
        return Difference.AMOUNT
    if there.captured != payment.captured:
        return Difference.CAPTURED
    if there.refunded != payment.refunded:
        return Difference.REFUNDED
    held_there = there.status is IntentStatus.AUTHORIZED
    waits_there = there.status is IntentStatus.REQUIRES_ACTION
    waits_here = payment.state is PaymentState.REQUIRES_ACTION
    return Difference.HELD if held_there != bool(payment.held) or waits_there != waits_here else None
