"""Stock of one SKU: how many there are, how many of those are held for orders, and every movement of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chassis.seedwork import AggregateRoot, DomainError, ErrorKind
from contracts.catalog import StockAdjusted

MAX_ON_HAND: Final = 1_000_000_000
"""Largest count of one SKU: fits every store's integer with room to add."""


class StockNegativeError(DomainError):
    """Removing that many would leave fewer than are held for orders."""

    def __init__(self, sku: str) -> None:
        super().__init__("stock-negative", ErrorKind.CONFLICT, f"Fewer units of {sku} are free than that.")


class StockTooLargeError(DomainError):
    """More than the store can count."""

    def __init__(self) -> None:
        super().__init__("stock-too-large", ErrorKind.INVALID, f"At most {MAX_ON_HAND} units of one product.")


class MovementKind(StrEnum):
    RECEIVE = "receive"
    """An operator put units in."""
    ADJUST = "adjust"
    """An operator took units out: broken, lost, miscounted."""
    RESERVE = "reserve"
    RELEASE = "release"
    SELL = "sell"
    RESTOCK = "restock"
    """Sold units came back."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the stock ledger: how a SKU's two counts changed."""

    sku: str
    kind: MovementKind
    on_hand: int
    reserved: int


@dataclass(frozen=True, slots=True)
class StockCounts:
    """The counts of one SKU at one moment."""

    sku: str
    on_hand: int
    reserved: int
    available: int
    sold: int


class StockItem(AggregateRoot):
    """The counts of one SKU. `received` is what operators put in less what they took out.

    Always: 0 <= reserved <= on_hand, and on_hand + sold == received. The store checks the same.
    `on_sale` repeats the product's status, so that a reservation touches one row per line.
    """

    def __init__(
        self,
        sku: str,
        *,
        on_sale: bool = True,
        on_hand: int = 0,
        reserved: int = 0,
        sold: int = 0,
        received: int = 0,
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.sku = sku
        self.on_sale = on_sale
        self.on_hand = on_hand
        self.reserved = reserved
        self.sold = sold
        self.received = received

    @property
    def available(self) -> int:
        """Units that nobody holds."""
        return self.on_hand - self.reserved

    @property
    def counts(self) -> StockCounts:
        return StockCounts(self.sku, self.on_hand, self.reserved, self.available, self.sold)

    def adjust(self, delta: int, reason: str) -> Movement:
        """Count `delta` units in (positive) or out (negative).

        Raises:
            StockNegativeError: fewer than are held for orders would be left.
            StockTooLargeError: more than can be counted.
        """
        if self.on_hand + delta < self.reserved:
            raise StockNegativeError(self.sku)
        if self.received + delta > MAX_ON_HAND:
            raise StockTooLargeError
        self.on_hand += delta
        self.received += delta
        self.record(StockAdjusted(sku=self.sku, delta=delta, on_hand=self.on_hand, reason=reason))
        return Movement(self.sku, MovementKind.RECEIVE if delta > 0 else MovementKind.ADJUST, delta, 0)

    def reserve(self, quantity: int) -> Movement:
        """Hold units for an order; whoever calls has looked at `available`."""
        self.reserved += quantity
        return Movement(self.sku, MovementKind.RESERVE, 0, quantity)

    def release(self, quantity: int) -> Movement:
        """Let go of units that were held."""
        self.reserved -= quantity
        return Movement(self.sku, MovementKind.RELEASE, 0, -quantity)

    def sell(self, quantity: int) -> Movement:
        """Units that were held leave the shelf."""
        self.reserved -= quantity
        self.on_hand -= quantity
        self.sold += quantity
        return Movement(self.sku, MovementKind.SELL, -quantity, -quantity)

    def restock(self, quantity: int) -> Movement:
        """Sold units are back on the shelf."""
        self.on_hand += quantity
        self.sold -= quantity
        return Movement(self.sku, MovementKind.RESTOCK, quantity, 0)


Shelf = Mapping[str, StockItem]
"""The stock items a reservation needs, by SKU; one that is missing is of an unknown product."""
