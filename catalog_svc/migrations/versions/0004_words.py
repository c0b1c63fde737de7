"""The words of each product, so that a search reads an index; those of the products there are now are taken in."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHUNK = 1_000


def upgrade() -> None:
    op.create_table(
        "product_words",
        sa.Column("word", _bytewise(64), nullable=False),
        sa.Column("sku", _bytewise(32), nullable=False),
        sa.ForeignKeyConstraint(["sku"], ["products.sku"], name="fk_product_words_sku"),
        sa.PrimaryKeyConstraint("word", "sku", name="pk_product_words"),
        sqlite_with_rowid=False,
    )
    _take_in()
    op.create_index("ix_product_words_sku_word", "product_words", ["sku", "word"])


def downgrade() -> None:
    op.drop_table("product_words")


def _take_in() -> None:
    connection = op.get_bind()
    products = sa.table("products", sa.column("sku", _bytewise(32)), sa.column("search_text", sa.Text()))
    product_words = sa.table("product_words", sa.column("word", _bytewise(64)), sa.column("sku", _bytewise(32)))
    page = sa.select(products).order_by(products.c.sku).limit(CHUNK)
    last: Any = None
    while rows := connection.execute(page if last is None else page.where(products.c.sku > last)).all():
        found = [{"word": word, "sku": row.sku} for row in rows for word in sorted(_words(row.search_text))]
        if found:
            connection.execute(product_words.insert(), found)
        last = rows[-1].sku


def _words(search_text: str) -> set[str]:
    """As they were cut when this was written; `search_text` is folded already."""
    letters = "".join(char if char.isalnum() else " " for char in search_text)
    return {word[:64] for word in letters.split()}


def _bytewise(length: int) -> sa.types.TypeEngine[Any]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
