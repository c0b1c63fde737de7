"""Reads for GET: one statement each, no aggregate, no transaction."""

from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from catalog_svc.cursors import decode_cursor, encode_cursor
from catalog_svc.domain.product import ProductStatus
from catalog_svc.listing import COLUMNS, counting, fewest, page_statement, parameters_of, shape_of
from catalog_svc.schemas import Categories, CategoryCount, ProductQuery
from catalog_svc.search import query_words
from catalog_svc.tables import products, stock
from chassis.db import Reader, rows_for
from chassis.seedwork import NotFoundError

_p = products.c
DETAIL: Final = sa.select(*COLUMNS).join_from(products, stock).where(_p.sku == sa.bindparam("sku"))
_CATEGORIES: Final = (
    sa.select(_p.category, sa.func.count().label("products"))
    .where(_p.status == ProductStatus.LISTED.value)
    .group_by(_p.category)
    .order_by(_p.category)
)
_columns: Final = itemgetter(*(column.name for column in COLUMNS))

Shown = dict[str, Any]
"""A product as `ProductView` describes it. What comes from our own columns, which their CHECKs keep in order, is not
validated again on its way out: that took longer than to read it."""


async def product(reader: Reader, sku: str) -> Shown:
    """The product, retired or not.

    Raises:
        NotFoundError: there is none.
    """
    rows = await reader.by_key(DETAIL, {"sku": sku})
    if not rows:
        raise NotFoundError("product")
    return _shown(rows[0])


async def product_page(reader: Reader, query: ProductQuery) -> Shown:
    """One page of listed products, as `ProductPage` describes it.

    Raises:
        BadCursorError: the cursor belongs to another sort or filter.
    """
    if query.q and not query_words(query.q):
        return {"items": [], "next_cursor": None}
    parameters: dict[str, Any] = parameters_of(query)
    if query.cursor is not None:
        parameters["after"], parameters["after_sku"] = decode_cursor(query, query.cursor)
    shape = shape_of(query)
    count = counting(query.sort, shape)
    found = {row["source"]: row["found"] for row in await reader.all(count, parameters)} if count is not None else {}
    statement = page_statement(query.sort, shape, fewest(found), rows_for(query.limit))
    rows = await reader.all(statement, parameters)
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    next_cursor = encode_cursor(query, (shown[-1]["sort_key"], shown[-1]["sku"])) if more else None
    return {"items": [_shown(row) for row in shown], "next_cursor": next_cursor}


async def categories(reader: Reader) -> Categories:
    """The categories of listed products, by name."""
    rows = await reader.all(_CATEGORIES)
    return Categories(items=[CategoryCount(name=row["category"], count=row["products"]) for row in rows])


def _shown(row: RowMapping) -> Shown:
    sku, title, author, category, description, amount, currency, version, status, available = _columns(row)
    return {
        "sku": sku,
        "title": title,
        "author": author,
        "category": category,
        "description": description,
        "price": {"amount": amount, "currency": currency},
        "available": available,
        "version": version,
        "status": status,
    }
