"""Products and their stock counts: what changes, what is published, what is refused."""

from datetime import UTC, datetime

import pytest

from catalog_svc.domain.product import (
    DetailChanges,
    Product,
    ProductRetiredError,
    ProductStatus,
    VersionMismatchError,
)
from catalog_svc.domain.stock import MAX_ON_HAND, StockItem, StockNegativeError, StockTooLargeError
from contracts.catalog import ProductChanged, ProductListed, ProductRetired, StockAdjusted
from contracts.money import Money
from tests.catalog_svc.shop import details

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_product() -> Product:
    product = Product.introduce("BK-1", details(), NOW)
    product.pull_events()
    return product


def test_a_new_product_is_published_with_its_full_state() -> None:
    product = Product.introduce("BK-1", details(), NOW)
    price = Money(amount=999, currency="EUR")
    event = ProductListed(sku="BK-1", title="Emma", category="Fiction", price=price, version=1)
    assert product.pull_events() == [(event, 1)]


def test_a_change_is_published_with_the_version_it_makes() -> None:
    product = a_product()
    product.change(DetailChanges(price=Money(amount=500, currency="EUR")))
    [(event, version)] = product.pull_events()
    assert isinstance(event, ProductChanged)
    assert (event.version, version, event.price.amount) == (2, 2, 500)


def test_a_change_to_what_it_is_already_is_none() -> None:
    product = a_product()
    product.change(DetailChanges(title="Emma"))
    assert product.pull_events() == []
    assert product.version == 1


def test_a_retired_product_is_not_changed_until_it_is_listed_again() -> None:
    product = a_product()
    product.retire()
    product.retire()
    with pytest.raises(ProductRetiredError):
        product.change(DetailChanges(title="Emma, again"))
    product.list_again()
    product.list_again()
    product.change(DetailChanges(title="Emma, again"))
    assert product.status is ProductStatus.LISTED
    kinds = [type(event) for event, _ in product.pull_events()]
    assert kinds == [ProductRetired, ProductListed, ProductChanged]


def test_a_stale_version_is_refused() -> None:
    product = a_product()
    product.require_version(None)
    product.require_version(frozenset({1, 9}))
    with pytest.raises(VersionMismatchError):
        product.require_version(frozenset({2}))
    with pytest.raises(VersionMismatchError):
        product.require_version(frozenset())


def test_stock_that_orders_hold_cannot_be_taken_away() -> None:
    item = StockItem("BK-1", on_hand=5, reserved=3, received=5)
    item.adjust(-2, "lost")
    assert item.pull_events() == [(StockAdjusted(sku="BK-1", delta=-2, on_hand=3, reason="lost"), 1)]
    with pytest.raises(StockNegativeError):
        item.adjust(-1, "lost")
    assert (item.on_hand, item.received) == (3, 3)


def test_stock_has_a_limit() -> None:
    item = StockItem("BK-1", on_hand=10, sold=MAX_ON_HAND - 10, received=MAX_ON_HAND)
    with pytest.raises(StockTooLargeError):
        item.adjust(1, "delivery")
