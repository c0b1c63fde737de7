"""The work of the HTTP contestants, the same for all: the books that are read, and the rows an order writes."""

import os
from typing import Any, Final

from ops.demo.books import Book, demo_books

COLUMNS: Final = ("sku", "title", "author", "category", "description", "amount", "currency", "available", "version")
CATEGORY: Final = "Novels"
PAGE: Final = 20

PRODUCTS: Final = """
CREATE TABLE products (sku VARCHAR(32) PRIMARY KEY, title VARCHAR(200) NOT NULL, author VARCHAR(200) NOT NULL,
  category VARCHAR(80) NOT NULL, description TEXT NOT NULL, amount BIGINT NOT NULL, currency VARCHAR(3) NOT NULL,
  available BIGINT NOT NULL, version INTEGER NOT NULL);
CREATE INDEX products_by_category ON products (category, title);
"""
ORDERS: Final = """
CREATE TABLE orders (id VARCHAR(36) PRIMARY KEY, status VARCHAR(20) NOT NULL, lines TEXT NOT NULL,
  placed_at VARCHAR(40) NOT NULL);
CREATE TABLE outbox (id VARCHAR(36) PRIMARY KEY, type VARCHAR(80) NOT NULL, body TEXT NOT NULL,
  created_at VARCHAR(40) NOT NULL);
"""


def store_url() -> str:
    """Where a contestant's process keeps its rows: SQLAlchemy's URL, from the environment."""
    return os.environ["BENCH_STORE"]


def product_rows() -> list[tuple[Any, ...]]:
    """The demo shop's books, as `COLUMNS`."""
    return [_row(book) for book in demo_books()]


def _row(book: Book) -> tuple[Any, ...]:
    texts = (book.sku, book.title, book.author, book.category, book.description)
    return (*texts, book.price.amount, book.price.currency, book.stock, 1)


def order_placed(order_id: str, lines: list[dict[str, Any]], now: str, event_id: str) -> dict[str, Any]:
    """The event an order causes, as it would go into an outbox."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/order",
        "type": "order.placed.v1",
        "subject": order_id,
        "time": now,
        "datacontenttype": "application/json",
        "correlationid": order_id,
        "aggregateversion": 1,
        "data": {"order_id": order_id, "lines": lines},
    }
