"""order_svc's first schema: orders, their timeline and the product projection, beside the runtime's tables."""

import sqlalchemy as sa
from alembic import op

from chassis.baseline import create_runtime_tables, create_token_tables, drop_runtime_tables, drop_token_tables
from chassis.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_runtime_tables()
    create_token_tables()
    _orders()
    _timeline()
    _products()


def downgrade() -> None:
    for table in ("products", "order_timeline", "orders"):
        op.drop_table(table)
    drop_token_tables()
    drop_runtime_tables()


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("status_reason", sa.String(length=40), nullable=True),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("total_amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("captured_amount", sa.BigInteger(), nullable=False),
        sa.Column("refunded_amount", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("placed_at", UtcDateTime(), nullable=False),
        sa.Column("deadline_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.CheckConstraint("total_amount BETWEEN 0 AND 1000000000000", name=op.f("ck_orders_total_in_bounds")),
        sa.CheckConstraint("captured_amount IN (0, total_amount)", name=op.f("ck_orders_captured_all_or_nothing")),
        sa.CheckConstraint("refunded_amount BETWEEN 0 AND total_amount", name=op.f("ck_orders_refunded_in_bounds")),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
    )
    op.create_index("ix_orders_deadline_at", "orders", ["deadline_at"])
    op.create_index("ix_orders_status_id", "orders", ["status", "id"])
    op.create_index("ix_orders_user_id_id", "orders", ["user_id", "id"])


def _timeline() -> None:
    op.create_table(
        "order_timeline",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("service", sa.String(length=20), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("text", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "seq", name="pk_order_timeline"),
    )


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("sku", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("price_amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("orderable", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_products"),
        comment="projection of catalog's products, at the highest version seen",
    )
