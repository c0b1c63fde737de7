"""One thing a provider was or will be asked to do; a row before the call, so that no call is ever forgotten."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from chassis.seedwork import AggregateRoot
from contracts.money import Money


class OperationKind(StrEnum):
    """What the provider is asked. RETRIEVE only looks."""

    AUTHORIZE = "authorize"
    CONFIRM = "confirm"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    RETRIEVE = "retrieve"


class OperationState(StrEnum):
    """PENDING until the provider has said what became of it."""

    PENDING = "pending"
    DONE = "done"


LEASE: Final = timedelta(seconds=20)
"""Whoever commits an operation calls the provider itself; others leave it alone for so long. Longer than any call."""

_BACKOFF_SECONDS: Final = (1, 2, 5, 15, 60, 300)


def authorize_key(payment_id: UUID) -> str:
    """The provider's idempotency key: made from what we do, never fresh per try, and one per kind of call."""
    return f"pay:{payment_id}:authorize"


def confirm_key(payment_id: UUID, attempt: int) -> str:
    return f"pay:{payment_id}:confirm:{attempt}"


def capture_key(payment_id: UUID) -> str:
    return f"pay:{payment_id}:capture"


def void_key(payment_id: UUID) -> str:
    return f"pay:{payment_id}:void"


def refund_key(refund_id: UUID) -> str:
    return f"refund:{refund_id}"


def stray_key(reference: str) -> str:
    """Of the void of something the provider holds and we do not know: once per reference."""
    return f"stray:{reference}:void"


class Operation(AggregateRoot):
    """`id` is the provider's idempotency key. All the call needs is here: same key, same request."""

    def __init__(
        self,
        id: str,
        kind: OperationKind,
        *,
        order_id: UUID,
        payment_id: UUID,
        amount: Money,
        created_at: datetime,
        next_at: datetime,
        refund_id: UUID | None = None,
        reference: str | None = None,
        payment_method: str | None = None,
        causation_id: UUID | None = None,
        traceparent: str | None = None,
        state: OperationState = OperationState.PENDING,
        attempts: int = 0,
        last_error: str | None = None,
        done_at: datetime | None = None,
    ) -> None:
        super().__init__()
        self.id = id
        self.kind = kind
        self.order_id = order_id
        self.payment_id = payment_id
        self.amount = amount
        self.created_at = created_at
        self.next_at = next_at
        self.refund_id = refund_id
        self.reference = reference
        self.payment_method = payment_method
        self.causation_id = causation_id
        self.traceparent = traceparent
        self.state = state
        self.attempts = attempts
        self.last_error = last_error
        self.done_at = done_at

    @property
    def pending(self) -> bool:
        return self.state is OperationState.PENDING

    def finish(self, now: datetime) -> None:
        """The provider has answered."""
        self.attempts += 1
        self.state = OperationState.DONE
        self.done_at = now

    def try_again(self, now: datetime, reason: str) -> None:
        """Nobody knows what became of it: ask again, with the same key, after a while."""
        self.next_at = now + timedelta(seconds=_BACKOFF_SECONDS[min(self.attempts, len(_BACKOFF_SECONDS) - 1)])
        self.attempts += 1
        self.last_error = reason[:200]

    def hurry(self, now: datetime) -> None:
        """There may be news: ask now."""
        self.next_at = min(self.next_at, now)
