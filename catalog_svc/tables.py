"""The tables of the catalog's store. Their CHECKs repeat the domain's invariants: no bug may oversell."""

from typing import Any

import sqlalchemy as sa

from catalog_svc.domain.product import ProductStatus
from catalog_svc.domain.reservation import ReservationState
from catalog_svc.domain.stock import MovementKind
from catalog_svc.search import MAX_WORD
from chassis.db import NAMING_CONVENTION, BigId, UtcDateTime
from chassis.token_feed import TokenTables, token_tables
from chassis.unit_of_work import RuntimeTables, runtime_tables
from contracts.money import MAX_AMOUNT

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
RUNTIME: RuntimeTables = runtime_tables(metadata)
TOKENS: TokenTables = token_tables(metadata)


def _bytewise(length: int) -> sa.types.TypeEngine[Any]:
    """A string that sorts the same on every database, whatever its locale."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _one_of(column: str, values: list[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


products = sa.Table(
    "products",
    metadata,
    sa.Column("sku", _bytewise(32), primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("category", _bytewise(80), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("price_amount", sa.BigInteger, nullable=False),
    sa.Column("price_currency", sa.String(3), nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("listed_at", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sort_title", _bytewise(600), nullable=False),
    sa.Column("search_text", sa.Text, nullable=False),
    sa.CheckConstraint(f"price_amount BETWEEN 0 AND {MAX_AMOUNT}", name="price_amount"),
    sa.CheckConstraint("length(price_currency) = 3", name="price_currency"),
    sa.CheckConstraint(_one_of("status", [s.value for s in ProductStatus]), name="status"),
    sa.CheckConstraint("version >= 1", name="version"),
    # One per sort order: status first, because only listed products are listed, then the sort key and its tie-breaker.
    sa.Index("ix_products_by_title", "status", "sort_title", "sku"),
    sa.Index("ix_products_by_price", "status", "price_amount", "sku"),
    sa.Index("ix_products_by_age", "status", "listed_at", "sku"),
    sa.Index("ix_products_by_category", "status", "category", "sort_title", "sku"),
    sa.Index("ix_products_by_category_price", "status", "category", "price_amount", "sku"),
    sa.Index("ix_products_by_category_age", "status", "category", "listed_at", "sku"),
)

product_words = sa.Table(
    "product_words",
    metadata,
    sa.Column("word", _bytewise(MAX_WORD), primary_key=True),
    sa.Column("sku", _bytewise(32), sa.ForeignKey("products.sku"), primary_key=True),
    sa.Index("ix_product_words_sku_word", "sku", "word"),
    sqlite_with_rowid=False,
)
"""The words of each product's `search_text`, found by how they begin."""

_SOLD_OUT = sa.text("on_hand = reserved")

stock = sa.Table(
    "stock",
    metadata,
    sa.Column("sku", _bytewise(32), sa.ForeignKey("products.sku"), primary_key=True),
    sa.Column("on_sale", sa.Boolean, nullable=False),
    sa.Column("on_hand", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("sold", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("reserved >= 0", name="reserved"),
    sa.CheckConstraint("on_hand >= reserved", name="never_oversold"),
    sa.CheckConstraint("sold >= 0", name="sold"),
    sa.CheckConstraint("on_hand + sold = received", name="nothing_lost"),
    sa.Index("ix_stock_sold_out", "sku", sqlite_where=_SOLD_OUT, postgresql_where=_SOLD_OUT),
)

_stored_states = [state.value for state in ReservationState if state is not ReservationState.UNKNOWN]

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("lines", sa.JSON, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint(_one_of("state", _stored_states), name="state"),
    sa.CheckConstraint("(state = 'held') = (expires_at IS NOT NULL)", name="held_expires"),
    sa.Index("ix_reservations_state_expires_at", "state", "expires_at"),
)

stock_ledger = sa.Table(
    "stock_ledger",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("sku", _bytewise(32), sa.ForeignKey("stock.sku"), nullable=False, index=True),
    sa.Column("order_id", sa.Uuid, index=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("on_hand", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("cause_id", sa.Uuid),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.CheckConstraint(_one_of("kind", [k.value for k in MovementKind]), name="kind"),
    sa.CheckConstraint("on_hand <> 0 OR reserved <> 0", name="moves"),
    sa.CheckConstraint("(order_id IS NULL) = (kind IN ('receive', 'adjust'))", name="order"),
)
"""Append-only: one row per movement, `on_hand` and `reserved` are what it added; their sums are the stock row."""
