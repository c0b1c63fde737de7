"""HTTP bodies and parameters of the catalog."""

from enum import StrEnum
from typing import Annotated, Self

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from catalog_svc.domain.product import SKU_PATTERN, ProductStatus
from chassis.fields import Answer, Body, Text
from contracts.money import MAX_AMOUNT, Money


def _one_line(text: str) -> str:
    if text != text.strip() or "\n" in text or "\t" in text:
        raise ValueError("must be one line without white space around it")
    return text


Sku = Annotated[str, StringConstraints(pattern=SKU_PATTERN)]
PathSku = Annotated[Sku, Path()]
"""Anything that is no SKU names no product: 404."""
Name = Annotated[str, Text(200), AfterValidator(_one_line)]
CategoryName = Annotated[str, Text(80), AfterValidator(_one_line)]
Description = Annotated[str, Text(5_000, min_length=0)]
Price = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


class Sort(StrEnum):
    TITLE = "title"
    CHEAPEST = "price"
    DEAREST = "-price"
    NEWEST = "newest"


class ProductQuery(BaseModel):
    """What to list. Amounts are minor units; `in_stock=false` lists what is sold out."""

    model_config = ConfigDict(frozen=True)

    q: Annotated[str, Text(100, min_length=0)] = Field(
        default="",
        description="Words of title, author or SKU, or how they begin: all have to be there, in any order."
        " Case, accents and punctuation do not matter.",
    )
    category: Annotated[str, Text(80, min_length=0)] = Field(default="", description="Exactly this category.")
    min_price: Price | None = None
    max_price: Price | None = None
    in_stock: bool | None = None
    sort: Sort = Sort.TITLE
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=2_000)] | None = Field(
        default=None, description="`next_cursor` of the page before, with the same sort and filters."
    )


class NewProduct(Body):
    sku: Sku
    title: Name
    author: Name
    category: CategoryName
    description: Description
    price: Money


class ProductPatch(Body):
    """The fields to change; those left out stay. `status` takes a product off or on sale."""

    title: Name | None = None
    author: Name | None = None
    category: CategoryName | None = None
    description: Description | None = None
    price: Money | None = None
    status: ProductStatus | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change")
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("null is no value; leave the field out")
        return self


class StockAdjustment(Body):
    """`delta` units come in (positive) or go out (negative)."""

    delta: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
    reason: Annotated[str, Text(200), AfterValidator(_one_line)]

    @model_validator(mode="after")
    def _moves_something(self) -> Self:
        if self.delta == 0:
            raise ValueError("delta must not be 0")
        return self


class StockView(Answer):
    sku: str
    on_hand: int
    reserved: int
    available: int
    sold: int


class ProductView(Answer):
    """`available` is what nobody holds right now; whether an order gets it is decided when it is placed."""

    sku: str
    title: str
    author: str
    category: str
    description: str
    price: Money
    available: int
    version: int
    status: ProductStatus


class ProductPage(Answer):
    """`next_cursor` is null on the last page."""

    items: list[ProductView]
    next_cursor: str | None


class CategoryCount(Answer):
    name: str
    count: int


class Categories(Answer):
    items: list[CategoryCount]
