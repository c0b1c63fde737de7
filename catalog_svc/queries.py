"""Reads for GET: one statement each, no aggregate, no transaction."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from catalog_svc.cursors import decode_cursor, encode_cursor
from catalog_svc.domain.product import ProductStatus
from catalog_svc.listing import COLUMNS, counting, fewest, page_statement, parameters_of, shape_of
from catalog_svc.schemas import Categories, CategoryCount, ProductPage, ProductQuery, ProductView
from catalog_svc.search import query_words
from catalog_svc.tables import products, stock
from chassis.db import Reader
from chassis.seedwork import NotFoundError

_p = products.c
DETAIL: Final = sa.select(*COLUMNS).join_from(products, stock).where(_p.sku == sa.bindparam("sku"))
_CATEGORIES: Final = (
    sa.select(_p.category, sa.func.count().label("products"))
    .where(_p.status == ProductStatus.LISTED.value)
    .group_by(_p.category)
    .order_by(_p.category)
)


async def product(reader: Reader, sku: str) -> ProductView:
    """The product, retired or not.

    Raises:
        NotFoundError: there is none.
    """
    row = await reader.first(DETAIL, {"sku": sku})
    if row is None:
        raise NotFoundError("product")
    return _view(row)


async def product_page(reader: Reader, query: ProductQuery) -> ProductPage:
    """One page of listed products.

    Raises:
        BadCursorError: the cursor belongs to another sort or filter.
    """
    if query.q and not query_words(query.q):
        return ProductPage(items=[], next_cursor=None)
    parameters: dict[str, Any] = parameters_of(query)
    if query.cursor is not None:
        parameters["after"], parameters["after_sku"] = decode_cursor(query, query.cursor)
    shape = shape_of(query)
    count = counting(query.sort, shape)
    found = {row["source"]: row["found"] for row in await reader.all(count, parameters)} if count is not None else {}
    statement = page_statement(query.sort, shape, fewest(found))
    rows = await reader.all(statement, {**parameters, "rows": query.limit + 1})
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    next_cursor = encode_cursor(query, (shown[-1]["sort_key"], shown[-1]["sku"])) if more else None
    return ProductPage(items=[_view(row) for row in shown], next_cursor=next_cursor)


async def categories(reader: Reader) -> Categories:
    """The categories of listed products, by name."""
    rows = await reader.all(_CATEGORIES)
    return Categories(items=[CategoryCount(name=row["category"], count=row["products"]) for row in rows])


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
