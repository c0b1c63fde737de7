"""What clients, providers and the courier ask of payment_svc."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.idempotency import IdempotentRequest, StoredResponse
from contracts.money import Money
from payment_svc.domain.discrepancy import Difference
from payment_svc.domain.operation import Operation
from payment_svc.domain.payment import Payment
from payment_svc.domain.refund import Refund
from payment_svc.providers.port import Listed, Notice, Result, RetrieveResult


@dataclass(frozen=True, slots=True)
class StartPayment:
    """Try to pay an order; `payment_id` is the new attempt's."""

    payment_id: UUID
    order_id: UUID
    user_id: UUID
    payment_method: str
    request: IdempotentRequest


@dataclass(frozen=True, slots=True)
class ConfirmPayment:
    """The customer has done what the provider required."""

    payment_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class RequestRefund:
    """Give `amount` back, None for all that is left."""

    refund_id: UUID
    payment_id: UUID
    amount: Money | None
    reason: str
    request: IdempotentRequest


@dataclass(frozen=True, slots=True)
class Begun:
    """What a first transaction leaves for the call after it; no `operation` if the provider has answered already."""

    subject_id: UUID
    operation: Operation | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The provider's answer to an operation."""

    operation: Operation
    result: Result

    @property
    def order_id(self) -> UUID:
        return self.operation.order_id

    @property
    def operation_id(self) -> str:
        return self.operation.id


@dataclass(frozen=True, slots=True)
class FinishPayment:
    """Take the provider's answer in, if there is one, and answer the client whose key is `request`."""

    payment_id: UUID
    answered: Answered | None
    request: IdempotentRequest
    respond: Callable[[Payment], StoredResponse]

    @property
    def order_id(self) -> UUID | None:
        return self.answered.order_id if self.answered else None

    @property
    def operation_id(self) -> str | None:
        return self.answered.operation_id if self.answered else None


@dataclass(frozen=True, slots=True)
class FinishRefund:
    """The same for a refund."""

    refund_id: UUID
    answered: Answered | None
    request: IdempotentRequest
    respond: Callable[[Refund], StoredResponse]

    @property
    def order_id(self) -> UUID | None:
        return self.answered.order_id if self.answered else None

    @property
    def operation_id(self) -> str | None:
        return self.answered.operation_id if self.answered else None


@dataclass(frozen=True, slots=True)
class TakeNotice:
    """A provider's webhook, its signature checked."""

    provider: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class NoteDifferences:
    """The provider's books were read up to `cursor`, and these lines of them do not agree with ours."""

    provider: str
    cursor: str
    suspects: Sequence[tuple[Listed, Difference]]


@dataclass(frozen=True, slots=True)
class Judge:
    """The provider was asked about a payment of its that seemed to differ from ours."""

    reference: str
    result: RetrieveResult
