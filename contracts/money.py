"""Money: integer minor units and an ISO 4217 code, never a float."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_AMOUNT = 10**12
"""Largest amount, in minor units, that any sum may reach: fits every store's integer with room to add."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class CurrencyMismatchError(ValueError):
    """Two amounts of different currencies were put together."""


class Money(BaseModel):
    """`amount` minor units (cents) of `currency` (ISO 4217 alphabetic code); never negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Annotated[int, Field(ge=0, le=MAX_AMOUNT, strict=True)]
    currency: Currency

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(amount=self.amount * quantity, currency=self.currency)

    def __bool__(self) -> bool:
        return self.amount != 0

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatchError(f"{self.currency} and {other.currency} do not add up")


def total(amounts: Iterable[Money]) -> Money:
    """The sum of one or more amounts of one currency.

    Raises:
        CurrencyMismatchError: the amounts are of different currencies.
        ValueError: there is no amount to sum, or the sum passes `MAX_AMOUNT`.
    """
    first, *rest = amounts
    for amount in rest:
        first = first + amount
    return first
