"""A product: what the shop says about one SKU, and whether it can be ordered."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

from chassis.seedwork import AggregateRoot, DomainError, ErrorKind, Transitions
from contracts.catalog import ProductChanged, ProductListed, ProductRetired
from contracts.money import Money

SKU_PATTERN: Final = r"^[A-Z0-9][A-Z0-9-]{0,31}$"


class ProductStatus(StrEnum):
    LISTED = "listed"
    RETIRED = "retired"


TRANSITIONS: Final = Transitions(
    {
        ProductStatus.LISTED: {ProductStatus.RETIRED},
        ProductStatus.RETIRED: {ProductStatus.LISTED},
    }
)


class ProductExistsError(DomainError):
    """The SKU is taken, by a listed or by a retired product."""

    def __init__(self, sku: str) -> None:
        super().__init__("product-exists", ErrorKind.CONFLICT, f"There is a product {sku} already.")


class ProductRetiredError(DomainError):
    """A retired product is not edited; list it again first."""

    def __init__(self, sku: str) -> None:
        super().__init__("product-retired", ErrorKind.CONFLICT, f"{sku} is retired; list it again to change it.")


class VersionMismatchError(DomainError):
    """The caller decided on another version of the product than the current one."""

    def __init__(self) -> None:
        super().__init__("precondition-failed", ErrorKind.PRECONDITION_FAILED, "The product has changed meanwhile.")


class CurrencyError(DomainError):
    """A shop has one currency: otherwise sorting by price and totals of orders mean nothing."""

    def __init__(self, currency: str) -> None:
        super().__init__("currency-not-accepted", ErrorKind.INVALID, f"Prices of this shop are in {currency}.")


@dataclass(frozen=True, slots=True)
class Details:
    """What the shop says about a product."""

    title: str
    author: str
    category: str
    description: str
    price: Money


@dataclass(frozen=True, slots=True)
class DetailChanges:
    """New values for some of the details; None leaves one as it is."""

    title: str | None = None
    author: str | None = None
    category: str | None = None
    description: str | None = None
    price: Money | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def applied_to(self, details: Details) -> Details:
        return Details(
            title=details.title if self.title is None else self.title,
            author=details.author if self.author is None else self.author,
            category=details.category if self.category is None else self.category,
            description=details.description if self.description is None else self.description,
            price=details.price if self.price is None else self.price,
        )


class Product(AggregateRoot):
    """Its version counts the facts published about it, so readers keep the highest and ignore the rest."""

    def __init__(
        self, sku: str, details: Details, status: ProductStatus, listed_at: datetime, *, version: int = 0
    ) -> None:
        super().__init__(version)
        self.sku = sku
        self.details = details
        self.status = status
        self.listed_at = listed_at

    @classmethod
    def introduce(cls, sku: str, details: Details, now: datetime) -> "Product":
        """A new product that can be ordered from now on; it has no stock yet."""
        product = cls(sku, details, ProductStatus.LISTED, now)
        product._record_state(ProductListed)
        return product

    def require_version(self, accepted: frozenset[int] | None) -> None:
        """Check the caller's precondition; None accepts any version.

        Raises:
            VersionMismatchError: the current version is none of `accepted`.
        """
        if accepted is not None and self.version not in accepted:
            raise VersionMismatchError

    def change(self, changes: DetailChanges) -> None:
        """Change details; to what they are already is no change.

        Raises:
            ProductRetiredError: it is retired.
        """
        if self.status is ProductStatus.RETIRED and changes:
            raise ProductRetiredError(self.sku)
        details = changes.applied_to(self.details)
        if details != self.details:
            self.details = details
            self._record_state(ProductChanged)

    def retire(self) -> None:
        """Take it off sale; orders that hold it go on. Harmless when it is retired already."""
        if self.status is not ProductStatus.RETIRED:
            self.status = TRANSITIONS.move(self.status, ProductStatus.RETIRED)
            self._record_state(ProductRetired)

    def list_again(self) -> None:
        """Put it back on sale. Harmless when it is listed."""
        if self.status is not ProductStatus.LISTED:
            self.status = TRANSITIONS.move(self.status, ProductStatus.LISTED)
            self._record_state(ProductListed)

    def _record_state(self, event: type[ProductListed | ProductChanged | ProductRetired]) -> None:
        self.record(
            event(
                sku=self.sku,
                title=self.details.title,
                category=self.details.category,
                price=self.details.price,
                version=self.version + 1,
            )
        )
