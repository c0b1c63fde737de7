"""How a page of products is found: by walking along the sort order, or by gathering a few candidates and sorting them.

Walking an index in the order asked for ends after a page, if what passes the filters is not rare. Where a filter leaves
only a few products, walking would look at nearly all of them; then those few are taken from the filter's own index and
sorted. Which of the two it is, is decided here, by counting up to `FEW` entries of that index. SQLite's planner, which
knows nothing about our data and was seen to take whole price ranges in order to sort them, is left no other choice;
PostgreSQL's has statistics and may know better.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import ReturnTypeFromArgs

from catalog_svc.domain.product import ProductStatus
from catalog_svc.schemas import ProductQuery, Sort
from catalog_svc.search import last_with, query_words
from catalog_svc.tables import product_words, products, stock
from chassis.db import at_most

FEW: Final = 500
"""Candidates up to this many are gathered, at some 7 µs each; if there are more, a walk soon has a page of them."""

_p = products.c
AVAILABLE: Final = (stock.c.on_hand - stock.c.reserved).label("available")
COLUMNS: Final = (
    *(_p.sku, _p.title, _p.author, _p.category, _p.description),
    *(_p.price_amount, _p.price_currency, _p.version, _p.status),
    AVAILABLE,
)
_SORT_KEYS: Final[dict[Sort, sa.Column[Any]]] = {
    Sort.TITLE: _p.sort_title,
    Sort.CHEAPEST: _p.price_amount,
    Sort.DEAREST: _p.price_amount,
    Sort.NEWEST: _p.listed_at,
}
_DESCENDING: Final = {Sort.DEAREST, Sort.NEWEST}
_BY_PRICE: Final = {Sort.CHEAPEST, Sort.DEAREST}

_WORD: Final = "word_"

Shape = frozenset[str]
"""Which filters a query has, by name, each word it looks for by a number; with `after`, it is not the first page."""


def shape_of(query: ProductQuery) -> Shape:
    """The filters of a query."""
    given = {
        "category": bool(query.category),
        "min_price": query.min_price is not None,
        "max_price": query.max_price is not None,
        "in_stock": query.in_stock is True,
        "sold_out": query.in_stock is False,
        "after": query.cursor is not None,
    }
    searched = (f"{_WORD}{number}" for number in range(len(query_words(query.q))))
    return frozenset([*(name for name, is_given in given.items() if is_given), *searched])


def parameters_of(query: ProductQuery) -> dict[str, Any]:
    """The values of its filters."""
    values = {
        "category": query.category or None,
        "min_price": query.min_price,
        "max_price": query.max_price,
    }
    parameters: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    for number, word in enumerate(query_words(query.q)):
        parameters |= {f"{_WORD}{number}": word, f"{_WORD}{number}_last": last_with(word)}
    return parameters


@lru_cache(maxsize=512)
def counting(sort: Sort, shape: Shape) -> sa.Executable | None:
    """Counts the candidates of each filter that may leave only a few, up to one more than `FEW`; None: there is none.

    Columns `source` and `found`.
    """
    counts = [
        sa.select(
            sa.literal_column(f"'{source}'", sa.String).label("source"), sa.func.count().label("found")
        ).select_from(candidates.limit(at_most(FEW + 1)).subquery())
        for source, candidates in _sources(sort, shape).items()
    ]
    return sa.union_all(*counts) if counts else None


def fewest(found: Mapping[str, int]) -> str | None:
    """The filter to gather by, None: walk."""
    few = {source: count for source, count in found.items() if count <= FEW}
    return min(few, key=lambda source: few[source]) if few else None


@lru_cache(maxsize=512)
def page_statement(sort: Sort, shape: Shape, gather_by: str | None, rows: int) -> sa.Select[Any]:
    """One page of at most `rows`: `COLUMNS` and `sort_key`. Parameters: the filters', `after` and `after_sku`."""
    key, descending = _SORT_KEYS[sort], sort in _DESCENDING
    statement = sa.select(*COLUMNS, key.label("sort_key")).join_from(products, stock)
    statement = statement.where(*_conditions(shape, hide=gather_by is not None, hide_price=sort not in _BY_PRICE))
    if gather_by is not None:
        statement = statement.where(_p.sku.in_(_sources(sort, shape)[gather_by]))
    if "after" in shape:  # compared as a row value, which an index can seek
        here, last = sa.tuple_(key, _p.sku), sa.tuple_(sa.bindparam("after", type_=key.type), sa.bindparam("after_sku"))
        statement = statement.where(here < last if descending else here > last)
    order = (key.desc(), _p.sku.desc()) if descending else (key, _p.sku)
    return statement.order_by(*order).limit(at_most(rows))


def _conditions(shape: Shape, *, hide: bool, hide_price: bool) -> list[sa.ColumnElement[bool]]:
    """What a product must meet. `hide` writes it so that no index of the products is tempting but that of their keys;
    `hide_price` hides that by price only."""
    status = _Unindexed(_p.status) if hide else _p.status
    category = _Unindexed(_p.category) if hide else _p.category
    price = _Unindexed(_p.price_amount) if hide or hide_price else _p.price_amount
    available = AVAILABLE.element
    conditions = {
        "category": category == sa.bindparam("category"),
        "min_price": price >= sa.bindparam("min_price"),
        "max_price": price <= sa.bindparam("max_price"),
        "in_stock": available > 0,
        "sold_out": available <= 0,  # never below; of an equality PostgreSQL would expect very few and scan the stock
    }
    listed = status == ProductStatus.LISTED.value
    searched = (_has(name) for name in sorted(shape) if name.startswith(_WORD))
    return [listed, *(condition for name, condition in conditions.items() if name in shape), *searched]


def _begins_with(name: str) -> sa.ColumnElement[bool]:
    return product_words.c.word.between(sa.bindparam(name), sa.bindparam(f"{name}_last"))


def _has(name: str) -> sa.ColumnElement[bool]:
    """One of the product's words begins so."""
    return sa.exists().where(product_words.c.sku == _p.sku, _begins_with(name))


def _sources(sort: Sort, shape: Shape) -> dict[str, sa.Select[tuple[str]]]:
    """The SKUs each filter alone leaves, where an index tells them."""
    w = product_words.c
    searched = (name for name in sorted(shape) if name.startswith(_WORD))
    sources = {name: sa.select(w.sku).where(_begins_with(name)).order_by(w.word) for name in searched}
    if shape & {"min_price", "max_price"} and sort not in _BY_PRICE:
        by_price = shape & {"category", "min_price", "max_price"}
        in_range = sa.select(_p.sku).where(*_conditions(by_price, hide=False, hide_price=False))
        sources["price"] = in_range.order_by(_p.price_amount)  # so that PostgreSQL counts along the index
    if "sold_out" in shape:
        sources["sold_out"] = sa.select(stock.c.sku).where(stock.c.on_hand == stock.c.reserved)
    return sources


class _Unindexed(ReturnTypeFromArgs[Any]):
    """A column by whose index SQLite is not to look: that is what a `+` before it means there."""

    inherit_cache = True


@compiles(_Unindexed)
def _plainly(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Unindexed, "sqlite")
def _with_plus(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"
