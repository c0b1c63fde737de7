"""What differs between the provider's books and ours, and how far its books have been read."""

import sqlalchemy as sa
from alembic import op

from chassis.db import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNSETTLED = sa.text("state <> 'settled'")


def upgrade() -> None:
    op.create_table(
        "provider_discrepancies",
        sa.Column("reference", sa.String(length=255), nullable=False),
        sa.Column("difference", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "difference IN ('amount', 'captured', 'refunded', 'held', 'stray', 'missing')",
            name=op.f("ck_provider_discrepancies_difference_known"),
        ),
        sa.CheckConstraint(
            "state IN ('suspected', 'open', 'settled')", name=op.f("ck_provider_discrepancies_state_known")
        ),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_provider_discrepancies")),
        comment="payments the provider and we disagree about, by the provider's reference",
    )
    op.create_index(
        "ix_provider_discrepancies_unsettled",
        "provider_discrepancies",
        ["next_at"],
        sqlite_where=_UNSETTLED,
        postgresql_where=_UNSETTLED,
    )
    op.create_table(
        "provider_watermarks",
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("cursor", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_watermarks")),
        comment="how far a provider's books have been read",
    )
    op.create_index(op.f("ix_payments_reference"), "payments", ["reference"])
    op.create_index(
        "ix_payments_open",
        "payments",
        ["created_at"],
        sqlite_where=sa.text("state IN ('requires_action', 'authorized')"),
        postgresql_where=sa.text("state IN ('requires_action', 'authorized')"),
    )


def downgrade() -> None:
    op.drop_index("ix_payments_open", "payments")
    op.drop_index(op.f("ix_payments_reference"), "payments")
    op.drop_table("provider_watermarks")
    op.drop_table("provider_discrepancies")
