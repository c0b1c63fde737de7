"""What an operator or a sweep may ask of the catalog."""

from dataclasses import dataclass
from uuid import UUID

from catalog_svc.domain.product import DetailChanges, Details, ProductStatus

Versions = frozenset[int] | None
"""The versions a change may be based on; None for any."""


@dataclass(frozen=True, slots=True)
class ListProduct:
    sku: str
    details: Details


@dataclass(frozen=True, slots=True)
class ChangeProduct:
    """Change details, or move it off or on sale, or both."""

    sku: str
    changes: DetailChanges
    status: ProductStatus | None
    based_on: Versions


@dataclass(frozen=True, slots=True)
class RetireProduct:
    sku: str
    based_on: Versions


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Count `delta` units in or out."""

    sku: str
    delta: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExpireReservation:
    order_id: UUID
