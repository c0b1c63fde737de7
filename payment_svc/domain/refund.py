"""One refund of a payment, whole or in part, with its own key at the provider: two equal ones are two refunds."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.seedwork import AggregateRoot, Transitions
from contracts.money import Money


class RefundState(StrEnum):
    """PENDING waits for the provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


TRANSITIONS = Transitions({RefundState.PENDING: {RefundState.SUCCEEDED, RefundState.FAILED}})


class Refund(AggregateRoot):
    """`automatic`: the order was cancelled, nobody asked for this one."""

    def __init__(
        self,
        id: UUID,
        *,
        payment_id: UUID,
        order_id: UUID,
        amount: Money,
        reason: str,
        automatic: bool,
        created_at: datetime,
        state: RefundState = RefundState.PENDING,
        failure_code: str | None = None,
    ) -> None:
        super().__init__()
        self.id = id
        self.payment_id = payment_id
        self.order_id = order_id
        self.amount = amount
        self.reason = reason
        self.automatic = automatic
        self.created_at = created_at
        self.state = state
        self.failure_code = failure_code

    def succeed(self) -> None:
        self.state = TRANSITIONS.move(self.state, RefundState.SUCCEEDED)

    def fail(self, code: str) -> None:
        self.state = TRANSITIONS.move(self.state, RefundState.FAILED)
        self.failure_code = code
