"""From what a customer asks for to priced lines: prices are ours, never the client's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from chassis.seedwork import DomainError, ErrorKind
from contracts.money import CurrencyMismatchError, Money, total
from order_svc.domain.order import Line


@dataclass(frozen=True, slots=True)
class Product:
    """What order_svc knows of a product from catalog's events, at its highest version seen."""

    sku: str
    title: str
    price: Money
    orderable: bool
    version: int


@dataclass(frozen=True, slots=True)
class RequestedLine:
    """What a customer asks for: how many of which product."""

    sku: str
    quantity: int


def price_lines(requested: Sequence[RequestedLine], products: Mapping[str, Product]) -> list[Line]:
    """The requested lines at today's prices.

    Raises:
        DomainError: `unknown-product` naming the positions, `mixed-currencies`, or `total-too-large`.
    """
    known = {sku: product for sku, product in products.items() if product.orderable}
    missing = [str(position) for position, line in enumerate(requested, 1) if line.sku not in known]
    if missing:
        raise DomainError("unknown-product", ErrorKind.INVALID, f"Not for sale: line {', '.join(missing)}.")
    lines = [Line(line.sku, known[line.sku].title, line.quantity, known[line.sku].price) for line in requested]
    try:
        total([line.total for line in lines])
    except CurrencyMismatchError:
        raise DomainError("mixed-currencies", ErrorKind.INVALID, "An order has one currency.") from None
    except ValidationError:
        raise DomainError("total-too-large", ErrorKind.INVALID, "The total is more than can be charged.") from None
    return lines


def check_expected(expected: Money | None, actual: Money) -> None:
    """Refuse to charge what the customer did not see.

    Raises:
        DomainError: `price-changed`.
    """
    if expected is not None and expected != actual:
        detail = f"The total is {actual.amount} {actual.currency} (minor units) now."
        raise DomainError("price-changed", ErrorKind.CONFLICT, detail)
