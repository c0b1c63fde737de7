"""The demo shelf: the books of `books.json`, checked as they are read."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from contracts.money import Money

_DATA = Path(__file__).with_name("books.json")

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{0,31}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]


class Book(BaseModel):
    """One product of the demo shop and the copies to put on its shelf."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: Sku
    title: Line
    author: Line
    category: Line
    description: Text
    price: Money
    stock: Annotated[int, Field(ge=0, strict=True)]


@cache
def demo_books() -> tuple[Book, ...]:
    """Every book of the demo shop, in shelf order."""
    return tuple(TypeAdapter(list[Book]).validate_json(_DATA.read_bytes()))
