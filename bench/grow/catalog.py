"""catalog_svc: products with stock and the words they are found by, and what it is asked."""

import random
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.grow.asking import BOUGHT, Asked, Request
from catalog_svc.search import search_text, sort_key, words
from catalog_svc.tables import product_words, products, stock

_AT_ONCE: Final = 5_000
_SYLLABLES: Final = ("ba", "co", "du", "fe", "gi", "ha", "ju", "ka", "lo", "mu")
_VOCABULARY: Final = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in ("", "n", "r")]


async def fill(connection: AsyncConnection, count: int) -> None:
    """Listed products, each with 50 on hand."""
    rng = random.Random(7)  # noqa: S311 - titles, no secrets
    for first in range(0, count, _AT_ONCE):
        rows = [_product(n, rng) for n in range(first, min(first + _AT_ONCE, count))]
        await connection.execute(sa.insert(products), rows)
        found = [{"word": word, "sku": row["sku"]} for row in rows for word in words(row["search_text"])]
        await connection.execute(sa.insert(product_words), found)
        in_stock = {"on_sale": True, "on_hand": 50, "reserved": 0, "sold": 0, "received": 50, "version": 1}
        await connection.execute(sa.insert(stock), [{"sku": row["sku"], **in_stock} for row in rows])


def questions() -> list[Asked]:
    """Anybody may ask these."""

    def asked(name: str, target: str) -> Asked:
        return Asked("catalog", name, lambda n: Request("GET", target.format(sku=f"BK-{n % BOUGHT:06}", n=n % 20)))

    return [
        asked("one product", "/catalog/products/{sku}"),
        asked("list of a category", "/catalog/products?category=Category%20{n}"),
        asked("list of a category and price range", "/catalog/products?category=Category%20{n}&min_price=3000"),
        asked("search that finds one", "/catalog/products?q={sku}"),
    ]


def _product(n: int, rng: random.Random) -> dict[str, Any]:
    sku, title = f"BK-{n:06}", " ".join(rng.choices(_VOCABULARY, k=3)).title()
    return {
        "sku": sku,
        "title": title,
        "author": "Nobody",
        "category": f"Category {n % 20}",
        "description": "A description. " * 10,
        "price_amount": rng.randint(100, 9_999),
        "price_currency": "EUR",
        "status": "listed",
        "listed_at": datetime(2026, 1, 1 + n % 28, tzinfo=UTC),
        "version": 1,
        "sort_title": sort_key(title),
        "search_text": search_text(title, "Nobody", sku),
    }
