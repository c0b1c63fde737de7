"""Indexes for every sort order within a category, and of what is sold out: no page of products scans them all."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_products_by_category_price", "products", ["status", "category", "price_amount", "sku"], unique=False
    )
    op.create_index("ix_products_by_category_age", "products", ["status", "category", "listed_at", "sku"], unique=False)
    sold_out = sa.text("on_hand = reserved")
    op.create_index("ix_stock_sold_out", "stock", ["sku"], sqlite_where=sold_out, postgresql_where=sold_out)


def downgrade() -> None:
    op.drop_index("ix_stock_sold_out", "stock")
    op.drop_index("ix_products_by_category_age", "products")
    op.drop_index("ix_products_by_category_price", "products")
