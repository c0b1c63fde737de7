"""payment_svc's tables. The database repeats every invariant: what code gets wrong, it refuses."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from chassis.db import NAMING_CONVENTION, BigId, UtcDateTime
from chassis.token_feed import token_tables
from chassis.unit_of_work import runtime_tables
from contracts.money import MAX_AMOUNT
from payment_svc.domain.discrepancy import Difference, DiscrepancyState
from payment_svc.domain.operation import OperationKind, OperationState
from payment_svc.domain.payable import PayableState
from payment_svc.domain.payment import ACTIVE, PaymentState
from payment_svc.domain.refund import RefundState

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
RUNTIME: Final = runtime_tables(metadata)
TOKENS: Final = token_tables(metadata)

MAX_REASON: Final = 200
MAX_KEY: Final = 300


def _one_of(column: str, values: Sequence[str]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _unique_where(name: str, column: str, condition: str) -> sa.Index:
    where = sa.text(condition)
    return sa.Index(name, column, unique=True, sqlite_where=where, postgresql_where=where)


_ACTIVE: Final = "state IN ({})".format(", ".join(f"'{state.value}'" for state in ACTIVE))
_OPEN: Final = sa.text("state IN ('requires_action', 'authorized')")
_UNSETTLED: Final = sa.text("state <> 'settled'")
_SETTLED: Final = sa.text("state = 'settled'")
_PENDING: Final = sa.text("state = 'pending'")

payables = sa.Table(
    "payables",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("user_id", sa.Uuid),
    sa.Column("amount_amount", sa.BigInteger),
    sa.Column("amount_currency", sa.String(3)),
    sa.Column("pay_by", UtcDateTime),
    sa.Column("payment_id", sa.Uuid),
    sa.Column("confirmed_payment_id", sa.Uuid),
    sa.Column("cancel_reason", sa.String(MAX_REASON)),
    _one_of("state", [state.value for state in PayableState]),
    sa.CheckConstraint(f"amount_amount BETWEEN 0 AND {MAX_AMOUNT}", name="amount_in_bounds"),
    sa.CheckConstraint("(state = 'cancelled') = (cancel_reason IS NOT NULL)", name="cancelled_for_a_reason"),
    sa.CheckConstraint("state <> 'confirmed' OR confirmed_payment_id IS NOT NULL", name="confirmed_on_a_payment"),
    sa.CheckConstraint(
        "(amount_amount IS NULL) = (user_id IS NULL) AND (amount_amount IS NULL) = (pay_by IS NULL)"
        " AND (amount_amount IS NULL) = (amount_currency IS NULL)",
        name="requested_whole",
    ),
    comment="what is known of an order, from whichever of its events came first",
)

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("order_id", sa.Uuid, sa.ForeignKey("payables.order_id"), nullable=False, index=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("amount_amount", sa.BigInteger, nullable=False),
    sa.Column("amount_currency", sa.String(3), nullable=False),
    sa.Column("payment_method", sa.String(80), nullable=False),
    sa.Column("reference", sa.String(255), index=True),
    sa.Column("next_action", sa.Text),
    sa.Column("failure_code", sa.String(80)),
    sa.Column("held_amount", sa.BigInteger, nullable=False),
    sa.Column("captured_amount", sa.BigInteger, nullable=False),
    sa.Column("refunded_amount", sa.BigInteger, nullable=False),
    sa.Column("refunding_amount", sa.BigInteger, nullable=False),
    sa.Column("confirmations", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    _one_of("state", [state.value for state in PaymentState]),
    sa.CheckConstraint(f"amount_amount BETWEEN 1 AND {MAX_AMOUNT}", name="amount_in_bounds"),
    sa.CheckConstraint("held_amount IN (0, amount_amount)", name="held_whole"),
    sa.CheckConstraint("captured_amount IN (0, amount_amount)", name="captured_whole"),
    sa.CheckConstraint("held_amount = 0 OR captured_amount = 0", name="held_or_captured"),
    sa.CheckConstraint("refunded_amount >= 0 AND refunding_amount >= 0", name="refunds_not_negative"),
    sa.CheckConstraint("refunded_amount + refunding_amount <= captured_amount", name="refunds_within_capture"),
    _unique_where("uq_payments_one_active_per_order", "order_id", _ACTIVE),
    _unique_where("uq_payments_one_capture_per_order", "order_id", "captured_amount > 0"),
    sa.Index("ix_payments_open", "created_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    comment="one attempt to pay one order",
)

refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("payment_id", sa.Uuid, sa.ForeignKey("payments.id"), nullable=False, index=True),
    sa.Column("order_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("amount_amount", sa.BigInteger, nullable=False),
    sa.Column("amount_currency", sa.String(3), nullable=False),
    sa.Column("reason", sa.String(MAX_REASON), nullable=False),
    sa.Column("automatic", sa.Boolean, nullable=False),
    sa.Column("failure_code", sa.String(80)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    _one_of("state", [state.value for state in RefundState]),
    sa.CheckConstraint(f"amount_amount BETWEEN 1 AND {MAX_AMOUNT}", name="amount_in_bounds"),
)

operations = sa.Table(
    "provider_operations",
    metadata,
    sa.Column("id", sa.String(MAX_KEY), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("order_id", sa.Uuid, nullable=False),
    sa.Column("payment_id", sa.Uuid, sa.ForeignKey("payments.id"), nullable=False, index=True),
    sa.Column("refund_id", sa.Uuid, sa.ForeignKey("refunds.id")),
    sa.Column("amount_amount", sa.BigInteger, nullable=False),
    sa.Column("amount_currency", sa.String(3), nullable=False),
    sa.Column("reference", sa.String(255)),
    sa.Column("payment_method", sa.String(80)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("last_error", sa.String(200)),
    sa.Column("causation_id", sa.Uuid),
    sa.Column("traceparent", sa.String(80)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("done_at", UtcDateTime, index=True),
    _one_of("kind", [kind.value for kind in OperationKind]),
    _one_of("state", [state.value for state in OperationState]),
    sa.CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name="done_at_a_time"),
    sa.CheckConstraint("(kind = 'refund') = (refund_id IS NOT NULL)", name="refunds_name_a_refund"),
    sa.Index("ix_provider_operations_pending", "next_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    comment="what the provider was or will be asked; id is its idempotency key",
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("fact", sa.String(80), nullable=False),
    sa.Column("debit", sa.String(20), nullable=False),
    sa.Column("credit", sa.String(20), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("order_id", sa.Uuid, nullable=False, index=True),
    sa.Column("payment_id", sa.Uuid, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.CheckConstraint("amount > 0", name="amount_positive"),
    sa.CheckConstraint("debit <> credit", name="moves"),
    sa.UniqueConstraint("fact"),
    comment="append-only; every row is a debit and a credit, so any set of rows sums to zero",
)

webhooks = sa.Table(
    "webhook_events",
    metadata,
    sa.Column("provider", sa.String(20), primary_key=True),
    sa.Column("event_id", sa.String(255), primary_key=True),
    sa.Column("type", sa.String(80), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("payment_id", sa.Uuid),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    comment="what providers told us, once per id of theirs",
)

discrepancies = sa.Table(
    "provider_discrepancies",
    metadata,
    sa.Column("reference", sa.String(255), primary_key=True),
    sa.Column("difference", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("payment_id", sa.Uuid),
    sa.Column("order_id", sa.Uuid),
    sa.Column("detail", sa.String(MAX_REASON), nullable=False),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.Column("found_at", UtcDateTime, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    _one_of("difference", [difference.value for difference in Difference]),
    _one_of("state", [state.value for state in DiscrepancyState]),
    sa.Index("ix_provider_discrepancies_unsettled", "next_at", sqlite_where=_UNSETTLED, postgresql_where=_UNSETTLED),
    sa.Index("ix_provider_discrepancies_settled", "next_at", sqlite_where=_SETTLED, postgresql_where=_SETTLED),
    comment="payments the provider and we disagree about, by the provider's reference",
)

watermarks = sa.Table(
    "provider_watermarks",
    metadata,
    sa.Column("provider", sa.String(20), primary_key=True),
    sa.Column("cursor", sa.String(255), nullable=False),
    comment="how far a provider's books have been read",
)
