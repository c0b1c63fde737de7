"""Indexes for what is pruned: notices, answered calls, settled differences."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SETTLED = sa.text("state = 'settled'")


def upgrade() -> None:
    op.create_index("ix_webhook_events_received_at", "webhook_events", ["received_at"])
    op.create_index("ix_provider_operations_done_at", "provider_operations", ["done_at"])
    op.create_index(
        "ix_provider_discrepancies_settled",
        "provider_discrepancies",
        ["next_at"],
        sqlite_where=_SETTLED,
        postgresql_where=_SETTLED,
    )


def downgrade() -> None:
    op.drop_index("ix_provider_discrepancies_settled", "provider_discrepancies")
    op.drop_index("ix_provider_operations_done_at", "provider_operations")
    op.drop_index("ix_webhook_events_received_at", "webhook_events")
