"""The catalog's first schema: products, stock, reservations and the stock ledger, beside the runtime's tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from chassis.baseline import create_runtime_tables, create_token_tables, drop_runtime_tables, drop_token_tables
from chassis.db import BigId, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_runtime_tables()
    create_token_tables()
    _products()
    _stock()


def downgrade() -> None:
    op.drop_table("stock_ledger")
    op.drop_table("reservations")
    op.drop_table("stock")
    op.drop_table("products")
    drop_token_tables()
    drop_runtime_tables()


def _bytewise(length: int) -> sa.types.TypeEngine[Any]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("sku", _bytewise(32), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("category", _bytewise(80), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("price_amount", sa.BigInteger(), nullable=False),
        sa.Column("price_currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("listed_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sort_title", _bytewise(600), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('listed', 'retired')", name=op.f("ck_products_status")),
        sa.CheckConstraint("length(price_currency) = 3", name=op.f("ck_products_price_currency")),
        sa.CheckConstraint("price_amount BETWEEN 0 AND 1000000000000", name=op.f("ck_products_price_amount")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_products_version")),
        sa.PrimaryKeyConstraint("sku", name="pk_products"),
    )
    op.create_index("ix_products_by_age", "products", ["status", "listed_at", "sku"])
    op.create_index("ix_products_by_category", "products", ["status", "category", "sort_title", "sku"])
    op.create_index("ix_products_by_price", "products", ["status", "price_amount", "sku"])
    op.create_index("ix_products_by_title", "products", ["status", "sort_title", "sku"])


def _stock() -> None:
    op.create_table(
        "stock",
        sa.Column("sku", _bytewise(32), nullable=False),
        sa.Column("on_sale", sa.Boolean(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("sold", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("on_hand + sold = received", name=op.f("ck_stock_nothing_lost")),
        sa.CheckConstraint("on_hand >= reserved", name=op.f("ck_stock_never_oversold")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_reserved")),
        sa.CheckConstraint("sold >= 0", name=op.f("ck_stock_sold")),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"], name="fk_stock_sku"),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(state = 'held') = (expires_at IS NOT NULL)", name=op.f("ck_reservations_held_expires")),
        sa.CheckConstraint(
            "state IN ('awaited', 'held', 'committed', 'rejected', 'expired', 'released')",
            name=op.f("ck_reservations_state"),
        ),
        sa.PrimaryKeyConstraint("order_id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_state_expires_at", "reservations", ["state", "expires_at"])
    op.create_table(
        "stock_ledger",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("sku", _bytewise(32), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("cause_id", sa.Uuid(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("(order_id IS NULL) = (kind IN ('receive', 'adjust'))", name=op.f("ck_stock_ledger_order")),
        sa.CheckConstraint(
            "kind IN ('receive', 'adjust', 'reserve', 'release', 'sell', 'restock')",
            name=op.f("ck_stock_ledger_kind"),
        ),
        sa.CheckConstraint("on_hand <> 0 OR reserved <> 0", name=op.f("ck_stock_ledger_moves")),
        sa.ForeignKeyConstraint(["sku"], ["stock.sku"], name="fk_stock_ledger_sku"),
        sa.PrimaryKeyConstraint("id", name="pk_stock_ledger"),
    )
    op.create_index("ix_stock_ledger_order_id", "stock_ledger", ["order_id"])
    op.create_index("ix_stock_ledger_sku", "stock_ledger", ["sku"])
