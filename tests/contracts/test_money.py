"""Money: whole minor units of one currency, never a float, never negative."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.money import MAX_AMOUNT, CurrencyMismatchError, Money, total

amounts = st.integers(min_value=0, max_value=MAX_AMOUNT // 10)


def eur(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1, 19.99, 20.0, "20", True, None])
def test_what_is_no_amount(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Money(amount=amount, currency="EUR")


@pytest.mark.parametrize("currency", ["eur", "EURO", "EU", "", "€", "EUR\n", None])
def test_what_is_no_currency(currency: Any) -> None:
    with pytest.raises(ValidationError):
        Money(amount=1, currency=currency)


def test_it_has_no_other_fields_and_never_changes() -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": 1, "currency": "EUR", "scale": 2})
    with pytest.raises(ValidationError):
        eur(1).amount = 2  # type: ignore[misc]  # that it is refused is what we test


@given(amounts, amounts)
def test_adding_and_taking_away_again_is_nothing(first: int, second: int) -> None:
    assert eur(first) + eur(second) - eur(second) == eur(first)


@given(st.lists(amounts, min_size=1, max_size=9))
def test_a_total_is_the_sum_in_any_order(parts: list[int]) -> None:
    assert total(eur(part) for part in parts) == total(eur(part) for part in reversed(parts)) == eur(sum(parts))


@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=0, max_value=999))
def test_times_a_quantity_is_adding_so_often(price: int, quantity: int) -> None:
    assert (eur(price) * quantity).amount == sum([price] * quantity)


def test_debts_do_not_exist() -> None:
    with pytest.raises(ValidationError):
        eur(1) - eur(2)
    with pytest.raises(ValidationError):
        eur(1) * -1


def test_sums_stay_in_bounds() -> None:
    with pytest.raises(ValidationError):
        eur(MAX_AMOUNT) + eur(1)
    assert eur(MAX_AMOUNT).amount == MAX_AMOUNT


def test_currencies_do_not_mix() -> None:
    dollar = Money(amount=1, currency="USD")
    with pytest.raises(CurrencyMismatchError):
        eur(1) + dollar
    with pytest.raises(CurrencyMismatchError):
        eur(1) - dollar
    with pytest.raises(CurrencyMismatchError):
        total([eur(1), dollar])
    assert eur(1) != dollar


def test_a_total_of_nothing_has_no_currency() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        total([])


def test_only_nothing_is_falsy() -> None:
    assert not eur(0)
    assert eur(1)
