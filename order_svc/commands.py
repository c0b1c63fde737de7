"""What can be asked of order_svc, imperative."""

from dataclasses import dataclass
from uuid import UUID

from contracts.money import Money
from order_svc.domain.pricing import RequestedLine


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """`expected_total` is what the customer saw; another total is refused rather than charged."""

    user_id: UUID
    lines: tuple[RequestedLine, ...]
    expected_total: Money | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """`user_id` None: an operator asks, for any customer's order."""

    order_id: UUID
    user_id: UUID | None


@dataclass(frozen=True, slots=True)
class FulfilOrder:
    order_id: UUID


@dataclass(frozen=True, slots=True)
class ExpireOrder:
    order_id: UUID
