"""Every list the API offers: the right products in the right order however they are found, and no scan on the way."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from catalog_svc import listing, queries
from catalog_svc.domain.product import ProductStatus
from catalog_svc.listing import counting, fewest, page_statement, parameters_of, shape_of
from catalog_svc.schemas import ProductQuery, Sort
from catalog_svc.search import query_words, search_text, sort_key, words
from catalog_svc.tables import product_words, products, stock
from chassis.db import Store
from chassis.migrate import migrate
from tests.support.plans import analyze, plan_of, scanned, sorted_whole

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS: dict[str, list[Any]] = {
    "q": ["", "TITLE", "bk-1 tit"],
    "category": ["", "Category 3"],
    "min_price": [None, 300],
    "max_price": [None, 700],
    "in_stock": [None, True, False],
}


def shelf(count: int) -> list[dict[str, Any]]:
    """Products whose titles, prices and times repeat, some retired, some sold out."""
    return [
        {
            "sku": f"BK-{number}",
            "title": f"Title {number * 7 % 11}",
            "author": "Nobody",
            "category": f"Category {number % 5}",
            "description": "",
            "price_amount": number * 31 % 1000,
            "price_currency": "EUR",
            "status": "retired" if number % 13 == 0 else "listed",
            "listed_at": BEGIN + timedelta(hours=number % 17),
            "version": 1,
            "sort_title": sort_key(f"Title {number * 7 % 11}"),
            "search_text": search_text(f"Title {number * 7 % 11}", "Nobody", f"BK-{number}"),
            "available": 0 if number % 9 == 0 else 5,
        }
        for number in range(count)
    ]


async def fill(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    columns = [column.name for column in products.c]
    await connection.execute(products.insert(), [{name: row[name] for name in columns} for row in rows])
    counts = [
        {"on_hand": n, "received": n, "sku": row["sku"], "on_sale": True, "reserved": 0, "sold": 0, "version": 1}
        for row in rows
        for n in [row["available"]]
    ]
    await connection.execute(stock.insert(), counts)
    found = [{"sku": row["sku"], "word": word} for row in rows for word in words(row["search_text"])]
    await connection.execute(product_words.insert(), found)


def every_query() -> Iterator[ProductQuery]:
    for sort, *values in itertools.product(Sort, *FILTERS.values()):
        yield ProductQuery(sort=sort, limit=15, **dict(zip(FILTERS, values, strict=True)))


def expected(rows: list[dict[str, Any]], query: ProductQuery) -> list[str]:
    """The SKUs a query lists, worked out by hand."""
    key = {Sort.TITLE: "sort_title", Sort.NEWEST: "listed_at"}.get(query.sort, "price_amount")
    found = [
        row
        for row in rows
        if row["status"] == ProductStatus.LISTED.value
        and all(any(word.startswith(w) for word in words(row["search_text"])) for w in query_words(query.q))
        and query.category in {"", row["category"]}
        and (query.min_price is None or row["price_amount"] >= query.min_price)
        and (query.max_price is None or row["price_amount"] <= query.max_price)
        and query.in_stock in {None, row["available"] > 0}
    ]
    backwards = query.sort in {Sort.DEAREST, Sort.NEWEST}
    return [row["sku"] for row in sorted(found, key=lambda row: (row[key], row["sku"]), reverse=backwards)]


@pytest.mark.parametrize("few", [0, 1_000], ids=["walked", "gathered"])
async def test_every_list_has_the_right_products_in_order(
    made_store: str, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(listing, "FEW", few)
    counting.cache_clear()
    rows = shelf(60)
    engine = create_async_engine(made_store)
    async with engine.begin() as connection:
        await fill(connection, rows)
    await engine.dispose()
    store = Store(made_store)
    try:
        for query in every_query():
            seen: list[str] = []
            cursor = None
            while True:
                page = await queries.product_page(store.reader, query.model_copy(update={"cursor": cursor}))
                seen += [item["sku"] for item in page["items"]]
                if (cursor := page["next_cursor"]) is None:
                    break
            assert seen == expected(rows, query), query
    finally:
        counting.cache_clear()
        await store.close()


@pytest.fixture
async def full_store(made_store: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a store of a few thousand products, and a planner who knows it."""
    engine = create_async_engine(made_store)
    async with engine.connect() as connection:
        await fill(connection, shelf(20_000))
        await analyze(connection)
        yield connection
    await engine.dispose()


async def test_no_list_scans_the_products(full_store: AsyncConnection) -> None:
    assert not scanned(await plan_of(full_store, queries.DETAIL, {"sku": "BK-7"}))
    after = {Sort.TITLE: "title 5", Sort.NEWEST: BEGIN + timedelta(hours=9)}
    for query, is_first in itertools.product(every_query(), (True, False)):
        asked = query if is_first else query.model_copy(update={"cursor": "any"})
        shape = shape_of(asked)
        if query.q and len(shape & FILTERS.keys()) > 2:
            continue  # so little is left that PostgreSQL may rightly read a table of this size whole
        parameters = {**parameters_of(asked), "after": after.get(query.sort, 500), "after_sku": "BK-7"}
        count = counting(query.sort, shape)
        found: dict[str, int] = {}
        if count is not None:
            plan = await plan_of(full_store, count, parameters_of(asked))
            assert not scanned(plan, small=["ix_stock_sold_out"]), (query, plan)
            found = {row.source: row.found for row in await full_store.execute(count, parameters_of(asked))}
        gather_by = fewest(found)
        statement = page_statement(query.sort, shape, gather_by, rows=21)
        given = {name: parameters[name] for name in statement.compile().params if name in parameters}
        plan = await plan_of(full_store, statement, given)
        assert not scanned(plan, small=["ix_stock_sold_out"]), (query, gather_by, plan)
        if gather_by is None:
            assert not sorted_whole(plan), (query, plan)


async def test_products_from_before_there_were_words_are_found(store_url: str) -> None:
    await asyncio.to_thread(migrate, "catalog_svc", store_url, "0003")
    engine = create_async_engine(store_url)
    async with engine.begin() as connection:
        rows, columns = shelf(2_500), [column.name for column in products.c]
        await connection.execute(products.insert(), [{name: row[name] for name in columns} for row in rows])
    await asyncio.to_thread(migrate, "catalog_svc", store_url)
    async with engine.connect() as connection:
        kept = {(row.sku, row.word) for row in await connection.execute(sa.select(product_words))}
    await engine.dispose()
    assert kept == {(row["sku"], word) for row in rows for word in words(row["search_text"])}


@pytest.mark.parametrize("store_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_postgresql_keeps_the_plan_of_a_list(made_store: str) -> None:
    """To plan a list anew each time takes longer than to read it."""
    engine = create_async_engine(made_store)
    async with engine.begin() as connection:
        await fill(connection, shelf(5_000))
        await analyze(connection)
    await engine.dispose()
    store = Store(made_store)
    try:
        for _ in range(8):  # the first five are planned for their parameters, in order to know what that costs
            await queries.product_page(store.reader, ProductQuery(category="Category 3", limit=15))
        kept = sa.text(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT products%'"
        )
        assert [dict(row) for row in await store.reader.all(kept)] == [{"generic_plans": 3, "custom_plans": 5}]
    finally:
        await store.close()


async def test_a_scan_is_seen(made_store: str) -> None:
    """What the test above relies on."""
    engine = create_async_engine(made_store)
    async with engine.connect() as connection:
        anywhere = sa.select(products.c.sku).where(products.c.description == "nowhere")
        assert scanned(await plan_of(connection, anywhere)) == {"products"}
        assert sorted_whole(await plan_of(connection, sa.select(products).order_by(products.c.author)))
    await engine.dispose()
