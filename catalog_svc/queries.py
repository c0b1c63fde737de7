"""Reads for GET: one statement each, no aggregate, no transaction."""

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from catalog_svc.cursors import decode_cursor, encode_cursor
from catalog_svc.domain.product import ProductStatus
from catalog_svc.schemas import Categories, CategoryCount, ProductPage, ProductQuery, ProductView, Sort
from catalog_svc.search import contains_pattern
from catalog_svc.tables import products, stock
from chassis.db import Reader
from chassis.seedwork import NotFoundError

_p = products.c
_AVAILABLE: Final = (stock.c.on_hand - stock.c.reserved).label("available")
_COLUMNS: Final = (
    *(_p.sku, _p.title, _p.author, _p.category, _p.description),
    *(_p.price_amount, _p.price_currency, _p.version, _p.status),
    _AVAILABLE,
)
_DETAIL: Final = sa.select(*_COLUMNS).join_from(products, stock).where(_p.sku == sa.bindparam("sku"))
_CATEGORIES: Final = (
    sa.select(_p.category, sa.func.count().label("products"))
    .where(_p.status == ProductStatus.LISTED.value)
    .group_by(_p.category)
    .order_by(_p.category)
)
_SORT_KEYS: Final[dict[Sort, sa.Column[Any]]] = {
    Sort.TITLE: _p.sort_title,
    Sort.CHEAPEST: _p.price_amount,
    Sort.DEAREST: _p.price_amount,
    Sort.NEWEST: _p.listed_at,
}
_DESCENDING: Final = {Sort.DEAREST, Sort.NEWEST}


async def product(reader: Reader, sku: str) -> ProductView:
    """The product, retired or not.

    Raises:
        NotFoundError: there is none.
    """
    row = await reader.first(_DETAIL, {"sku": sku})
    if row is None:
        raise NotFoundError("product")
    return _view(row)


async def product_page(reader: Reader, query: ProductQuery) -> ProductPage:
    """One page of listed products.

    Raises:
        BadCursorError: the cursor belongs to another sort or filter.
    """
    parameters: dict[str, Any] = {
        "pattern": contains_pattern(query.q) if query.q else None,
        "category": query.category or None,
        "min_price": query.min_price,
        "max_price": query.max_price,
    }
    if query.cursor is not None:
        parameters["after"], parameters["after_sku"] = decode_cursor(query, query.cursor)
    given = {name: value for name, value in parameters.items() if value is not None}
    statement = _list_statement(query.sort, query.in_stock, frozenset(given))
    rows = await reader.all(statement, {**given, "rows": query.limit + 1})
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    next_cursor = encode_cursor(query, (shown[-1]["sort_key"], shown[-1]["sku"])) if more else None
    return ProductPage(items=[_view(row) for row in shown], next_cursor=next_cursor)


async def categories(reader: Reader) -> Categories:
    """The categories of listed products, by name."""
    rows = await reader.all(_CATEGORIES)
    return Categories(items=[CategoryCount(name=row["category"], count=row["products"]) for row in rows])


@cache
def _list_statement(sort: Sort, in_stock: bool | None, given: frozenset[str]) -> sa.Select[Any]:
    """The statement for one shape of query. The key is compared as a row value, which an index can seek."""
    key = _SORT_KEYS[sort]
    descending = sort in _DESCENDING
    filters = {
        "pattern": _p.search_text.like(sa.bindparam("pattern"), escape="\\"),
        "category": _p.category == sa.bindparam("category"),
        "min_price": _p.price_amount >= sa.bindparam("min_price"),
        "max_price": _p.price_amount <= sa.bindparam("max_price"),
    }
    statement = sa.select(*_COLUMNS, key.label("sort_key")).join_from(products, stock)
    statement = statement.where(_p.status == ProductStatus.LISTED.value)
    statement = statement.where(*(condition for name, condition in filters.items() if name in given))
    if in_stock is not None:
        statement = statement.where(_AVAILABLE.element > 0 if in_stock else _AVAILABLE.element == 0)
    if "after" in given:
        here, last = sa.tuple_(key, _p.sku), sa.tuple_(sa.bindparam("after", type_=key.type), sa.bindparam("after_sku"))
        statement = statement.where(here < last if descending else here > last)
    order = (key.desc(), _p.sku.desc()) if descending else (key, _p.sku)
    return statement.order_by(*order).limit(sa.bindparam("rows"))


def _view(row: RowMapping) -> ProductView:
    return ProductView.model_validate(
        {
            "sku": row["sku"],
            "title": row["title"],
            "author": row["author"],
            "category": row["category"],
            "description": row["description"],
            "price": {"amount": row["price_amount"], "currency": row["price_currency"]},
            "available": row["available"],
            "version": row["version"],
            "status": row["status"],
        }
    )
