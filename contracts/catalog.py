"""Events catalog_svc publishes: products (each the full state and its version) and stock movements."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.envelope import Event
from contracts.money import Money

Quantity = Annotated[int, Field(ge=1, strict=True)]


class StockLine(BaseModel):
    """`quantity` units of one product."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    quantity: Quantity


class Shortage(BaseModel):
    """What was asked for and what could be had; `available` 0 also means the product is unknown or retired."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    requested: int
    available: int


class ProductListed(Event, wire_name="product.listed.v1", subject="sku"):
    """A product can be ordered."""

    sku: str
    title: str
    category: str
    price: Money
    version: int


class ProductChanged(Event, wire_name="product.changed.v1", subject="sku"):
    """A product's title, category or price is different now."""

    sku: str
    title: str
    category: str
    price: Money
    version: int


class ProductRetired(Event, wire_name="product.retired.v1", subject="sku"):
    """A product can no longer be ordered; orders that hold it go on."""

    sku: str
    title: str
    category: str
    price: Money
    version: int


class StockAdjusted(Event, wire_name="stock.adjusted.v1", subject="sku"):
    """An operator received (positive) or removed (negative) `delta` units; `on_hand` is the count after it."""

    sku: str
    delta: int
    on_hand: int
    reason: str


class StockReserved(Event, wire_name="stock.reserved.v1", subject="order_id"):
    """Every line of the order is held until `expires_at`."""

    order_id: UUID
    lines: list[StockLine]
    expires_at: datetime


class StockRejected(Event, wire_name="stock.rejected.v1", subject="order_id"):
    """Nothing is held for the order; `shortages` names every short line."""

    order_id: UUID
    shortages: list[Shortage]


class StockReleased(Event, wire_name="stock.released.v1", subject="order_id"):
    """What was held or sold for the order is available again."""

    order_id: UUID
    lines: list[StockLine]
    reason: str


class StockCommitted(Event, wire_name="stock.committed.v1", subject="order_id"):
    """What was held for the order is sold."""

    order_id: UUID
    lines: list[StockLine]
