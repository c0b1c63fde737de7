"""The initial schema: payables, payments, refunds, provider operations, ledger, and the chassis' own tables."""

import sqlalchemy as sa
from alembic import op

from chassis.baseline import create_runtime_tables, create_token_tables, drop_runtime_tables, drop_token_tables
from chassis.db import BigId, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = {
    "sqlite": [
        """CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
        """CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
        """CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger
        FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()""",
    ],
}


def upgrade() -> None:
    create_runtime_tables()
    create_token_tables()
    op.create_table(
        "ledger",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("fact", sa.String(length=80), nullable=False),
        sa.Column("debit", sa.String(length=20), nullable=False),
        sa.Column("credit", sa.String(length=20), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_amount_positive")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_ledger_moves")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("fact", name=op.f("uq_ledger_fact")),
        comment="append-only; every row is a debit and a credit, so any set of rows sums to zero",
    )
    op.create_index(op.f("ix_ledger_order_id"), "ledger", ["order_id"], unique=False)
    op.create_table(
        "payables",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("amount_amount", sa.BigInteger(), nullable=True),
        sa.Column("amount_currency", sa.String(length=3), nullable=True),
        sa.Column("pay_by", UtcDateTime(), nullable=True),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("confirmed_payment_id", sa.Uuid(), nullable=True),
        sa.Column("cancel_reason", sa.String(length=200), nullable=True),
        sa.CheckConstraint(
            "(state = 'cancelled') = (cancel_reason IS NOT NULL)", name=op.f("ck_payables_cancelled_for_a_reason")
        ),
        sa.CheckConstraint(
            "state <> 'confirmed' OR confirmed_payment_id IS NOT NULL", name=op.f("ck_payables_confirmed_on_a_payment")
        ),
        sa.CheckConstraint("state IN ('open', 'confirmed', 'cancelled')", name=op.f("ck_payables_state_known")),
        sa.CheckConstraint(
            "(amount_amount IS NULL) = (user_id IS NULL) AND (amount_amount IS NULL) = (pay_by IS NULL)"
            " AND (amount_amount IS NULL) = (amount_currency IS NULL)",
            name=op.f("ck_payables_requested_whole"),
        ),
        sa.CheckConstraint("amount_amount BETWEEN 0 AND 1000000000000", name=op.f("ck_payables_amount_in_bounds")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_payables")),
        comment="what is known of an order, from whichever of its events came first",
    )
    op.create_table(
        "webhook_events",
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_webhook_events")),
        comment="what providers told us, once per id of theirs",
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("amount_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_currency", sa.String(length=3), nullable=False),
        sa.Column("payment_method", sa.String(length=80), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("next_action", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.String(length=80), nullable=True),
        sa.Column("held_amount", sa.BigInteger(), nullable=False),
        sa.Column("captured_amount", sa.BigInteger(), nullable=False),
        sa.Column("refunded_amount", sa.BigInteger(), nullable=False),
        sa.Column("refunding_amount", sa.BigInteger(), nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'requires_action', 'authorized', 'capturing', 'captured', 'partially_refunded',"
            " 'refunded', 'declined', 'voiding', 'voided', 'capture_failed')",
            name=op.f("ck_payments_state_known"),
        ),
        sa.CheckConstraint("amount_amount BETWEEN 1 AND 1000000000000", name=op.f("ck_payments_amount_in_bounds")),
        sa.CheckConstraint("captured_amount IN (0, amount_amount)", name=op.f("ck_payments_captured_whole")),
        sa.CheckConstraint("held_amount = 0 OR captured_amount = 0", name=op.f("ck_payments_held_or_captured")),
        sa.CheckConstraint("held_amount IN (0, amount_amount)", name=op.f("ck_payments_held_whole")),
        sa.CheckConstraint(
            "refunded_amount + refunding_amount <= captured_amount", name=op.f("ck_payments_refunds_within_capture")
        ),
        sa.CheckConstraint(
            "refunded_amount >= 0 AND refunding_amount >= 0", name=op.f("ck_payments_refunds_not_negative")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["payables.order_id"], name=op.f("fk_payments_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        comment="one attempt to pay one order",
    )
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"], unique=False)
    op.create_index(
        "uq_payments_one_active_per_order",
        "payments",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('pending', 'requires_action', 'authorized', 'capturing')"),
        postgresql_where=sa.text("state IN ('pending', 'requires_action', 'authorized', 'capturing')"),
    )
    op.create_index(
        "uq_payments_one_capture_per_order",
        "payments",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("captured_amount > 0"),
        postgresql_where=sa.text("captured_amount > 0"),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("amount_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_currency", sa.String(length=3), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("failure_code", sa.String(length=80), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'succeeded', 'failed')", name=op.f("ck_refunds_state_known")),
        sa.CheckConstraint("amount_amount BETWEEN 1 AND 1000000000000", name=op.f("ck_refunds_amount_in_bounds")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)
    op.create_table(
        "provider_operations",
        sa.Column("id", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("refund_id", sa.Uuid(), nullable=True),
        sa.Column("amount_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_currency", sa.String(length=3), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("payment_method", sa.String(length=80), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.String(length=200), nullable=True),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("traceparent", sa.String(length=80), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'refund') = (refund_id IS NOT NULL)", name=op.f("ck_provider_operations_refunds_name_a_refund")
        ),
        sa.CheckConstraint(
            "(state = 'done') = (done_at IS NOT NULL)", name=op.f("ck_provider_operations_done_at_a_time")
        ),
        sa.CheckConstraint(
            "kind IN ('authorize', 'confirm', 'capture', 'void', 'refund', 'retrieve')",
            name=op.f("ck_provider_operations_kind_known"),
        ),
        sa.CheckConstraint("state IN ('pending', 'done')", name=op.f("ck_provider_operations_state_known")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_provider_operations_payment_id")),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.id"], name=op.f("fk_provider_operations_refund_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_operations")),
        comment="what the provider was or will be asked; id is its idempotency key",
    )
    op.create_index(op.f("ix_provider_operations_payment_id"), "provider_operations", ["payment_id"], unique=False)
    op.create_index(
        "ix_provider_operations_pending",
        "provider_operations",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )

    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("provider_operations", "refunds", "payments", "payables", "ledger", "webhook_events"):
        op.drop_table(table)
    drop_token_tables()
    drop_runtime_tables()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_is_append_only()")
