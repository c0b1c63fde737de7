"""Rows ↔ aggregates, and payment_svc's unit of work."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from chassis.idempotency import IdempotentRequest
from chassis.unit_of_work import Repository, Transaction, UnitOfWork
from contracts.money import Money
from payment_svc.domain.discrepancy import Difference, Discrepancy, DiscrepancyState
from payment_svc.domain.operation import Operation, OperationKind, OperationState
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.domain.refund import Refund, RefundState
from payment_svc.tables import MAX_REASON, discrepancies, ledger, operations, payables, payments, refunds

_ATTEMPTS_OF_ORDERS: Final = (
    sa.select(payments)
    .where(payments.c.order_id.in_(sa.bindparam("order_ids", expanding=True)))
    .order_by(payments.c.id)
    .with_for_update()
)


class Payables(Repository[Payable, UUID]):
    table = payables
    key = "order_id"
    what = "order"

    def to_row(self, aggregate: Payable) -> dict[str, Any]:
        amount = aggregate.amount
        return {
            "order_id": aggregate.order_id,
            "state": aggregate.state.value,
            "user_id": aggregate.user_id,
            "amount_amount": amount.amount if amount is not None else None,
            "amount_currency": amount.currency if amount is not None else None,
            "pay_by": aggregate.pay_by,
            "payment_id": aggregate.payment_id,
            "confirmed_payment_id": aggregate.confirmed_payment_id,
            "cancel_reason": aggregate.cancel_reason[:MAX_REASON] if aggregate.cancel_reason is not None else None,
        }

    def from_row(self, row: RowMapping) -> Payable:
        return Payable(
            row["order_id"],
            user_id=row["user_id"],
            amount=_amount(row) if row["amount_amount"] is not None else None,
            pay_by=row["pay_by"],
            payment_id=row["payment_id"],
            confirmed_payment_id=row["confirmed_payment_id"],
            cancel_reason=row["cancel_reason"],
        )

    async def of_order(self, order_id: UUID) -> Payable:
        """What is known of the order; a blank, taken in, if that is nothing yet."""
        known = await self.find(order_id)
        if known is not None:
            return known
        blank = Payable(order_id)
        self.add(blank)
        return blank


class Payments(Repository[Payment, UUID]):
    """Payments, and with them the ledger postings they made."""

    table = payments
    key = "id"
    what = "payment"

    def __init__(self, uow: UnitOfWork) -> None:
        super().__init__(uow)
        self._orders: set[UUID] = set()

    def to_row(self, aggregate: Payment) -> dict[str, Any]:
        return {
            "id": aggregate.id,
            "order_id": aggregate.order_id,
            "user_id": aggregate.user_id,
            "state": aggregate.state.value,
            "amount_amount": aggregate.amount.amount,
            "amount_currency": aggregate.amount.currency,
            "payment_method": aggregate.payment_method,
            "reference": aggregate.reference,
            "next_action": json.dumps(dict(aggregate.next_action)) if aggregate.next_action is not None else None,
            "failure_code": aggregate.failure_code[:80] if aggregate.failure_code is not None else None,
            "held_amount": aggregate.held,
            "captured_amount": aggregate.captured,
            "refunded_amount": aggregate.refunded,
            "refunding_amount": aggregate.refunding,
            "confirmations": aggregate.confirmations,
            "created_at": aggregate.created_at,
            "version": aggregate.version,
        }

    def from_row(self, row: RowMapping) -> Payment:
        return payment_of_row(row)

    async def of_order(self, order_id: UUID) -> list[Payment]:
        """Every attempt to pay an order, this transaction's own included. The order's row is locked, so none comes."""
        await self.preload_of([order_id])
        return [payment for payment in self.loaded() if payment.order_id == order_id]

    async def preload_of(self, order_ids: Iterable[UUID]) -> None:
        """Load and lock every attempt of these orders, in one query."""
        missing = set(order_ids) - self._orders
        if not missing:
            return
        self._orders |= missing
        rows = await self._uow.connection.execute(_ATTEMPTS_OF_ORDERS, {"order_ids": sorted(missing)})
        for row in rows.mappings():
            self._remember(row)

    async def flush(self) -> None:
        for payment in self.loaded():
            for posting in payment.pull_postings():
                self._uow.append(
                    ledger,
                    {
                        "fact": posting.fact,
                        "debit": posting.debit.value,
                        "credit": posting.credit.value,
                        "amount": posting.amount.amount,
                        "currency": posting.amount.currency,
                        "order_id": payment.order_id,
                        "payment_id": payment.id,
                        "at": self._uow.now,
                    },
                )
        await super().flush()


class Refunds(Repository[Refund, UUID]):
    table = refunds
    key = "id"
    what = "refund"

    def to_row(self, aggregate: Refund) -> dict[str, Any]:
        return {
            "id": aggregate.id,
            "payment_id": aggregate.payment_id,
            "order_id": aggregate.order_id,
            "state": aggregate.state.value,
            "amount_amount": aggregate.amount.amount,
            "amount_currency": aggregate.amount.currency,
            "reason": aggregate.reason[:MAX_REASON],
            "automatic": aggregate.automatic,
            "failure_code": aggregate.failure_code[:80] if aggregate.failure_code is not None else None,
            "created_at": aggregate.created_at,
        }

    def from_row(self, row: RowMapping) -> Refund:
        return refund_of_row(row)


class Operations(Repository[Operation, str]):
    table = operations
    key = "id"
    what = "operation"

    def to_row(self, aggregate: Operation) -> dict[str, Any]:
        return {
            "id": aggregate.id,
            "kind": aggregate.kind.value,
            "state": aggregate.state.value,
            "order_id": aggregate.order_id,
            "payment_id": aggregate.payment_id,
            "refund_id": aggregate.refund_id,
            "amount_amount": aggregate.amount.amount,
            "amount_currency": aggregate.amount.currency,
            "reference": aggregate.reference,
            "payment_method": aggregate.payment_method,
            "attempts": aggregate.attempts,
            "next_at": aggregate.next_at,
            "last_error": aggregate.last_error,
            "causation_id": aggregate.causation_id,
            "traceparent": aggregate.traceparent,
            "created_at": aggregate.created_at,
            "done_at": aggregate.done_at,
        }

    def from_row(self, row: RowMapping) -> Operation:
        return operation_of_row(row)


class Discrepancies(Repository[Discrepancy, str]):
    table = discrepancies
    key = "reference"
    what = "discrepancy"

    def to_row(self, aggregate: Discrepancy) -> dict[str, Any]:
        return {
            "reference": aggregate.reference,
            "difference": aggregate.difference.value,
            "state": aggregate.state.value,
            "payment_id": aggregate.payment_id,
            "order_id": aggregate.order_id,
            "detail": aggregate.detail,
            "looks": aggregate.looks,
            "found_at": aggregate.found_at,
            "next_at": aggregate.next_at,
        }

    def from_row(self, row: RowMapping) -> Discrepancy:
        return Discrepancy(
            row["reference"],
            Difference(row["difference"]),
            found_at=row["found_at"],
            next_at=row["next_at"],
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            detail=row["detail"],
            state=DiscrepancyState(row["state"]),
            looks=row["looks"],
        )


class PaymentUnitOfWork(UnitOfWork):
    """Rows are locked in one order everywhere: payables, payments, refunds, operations, discrepancies.

    `offer` is told of each operation to be called in the background, `heard` of each order that can be paid from now
    on and of its customer; both after the commit that made it so.
    """

    def __init__(
        self,
        transaction: Transaction,
        *,
        offer: Callable[[Operation], None],
        heard: Callable[[UUID, UUID], None],
    ) -> None:
        super().__init__(transaction)
        self.payables = Payables(self)
        self.payments = Payments(self)
        self.refunds = Refunds(self)
        self.operations = Operations(self)
        self.discrepancies = Discrepancies(self)
        self._offer = offer
        self._heard = heard

    def hand_over(self, operation: Operation) -> None:
        """Have the courier call the provider as soon as this is committed."""
        self.after_commit(partial(self._offer, operation))

    def arrived(self, order_id: UUID, user_id: UUID) -> None:
        """Tell those who want to pay this order and were faster than the news of it."""
        self.after_commit(partial(self._heard, order_id, user_id))

    async def preload(self, inputs: Sequence[object]) -> None:
        requests = (getattr(item, "request", None) for item in inputs)
        await self.idempotency.preload(request for request in requests if isinstance(request, IdempotentRequest))
        order_ids = {order_id for item in inputs if (order_id := getattr(item, "order_id", None)) is not None}
        known = await self.payables.get_many(order_ids)
        await self.payments.preload_of(id_ for id_, payable in known.items() if payable.payment_id is not None)
        await self.operations.preload(
            id_ for item in inputs if (id_ := getattr(item, "operation_id", None)) is not None
        )


def payment_of_row(row: RowMapping) -> Payment:
    """The payment in a row of its table."""
    return Payment(
        row["id"],
        order_id=row["order_id"],
        user_id=row["user_id"],
        amount=_amount(row),
        payment_method=row["payment_method"],
        created_at=row["created_at"],
        state=PaymentState(row["state"]),
        reference=row["reference"],
        next_action=json.loads(row["next_action"]) if row["next_action"] is not None else None,
        failure_code=row["failure_code"],
        held=row["held_amount"],
        captured=row["captured_amount"],
        refunded=row["refunded_amount"],
        refunding=row["refunding_amount"],
        confirmations=row["confirmations"],
        version=row["version"],
    )


def refund_of_row(row: RowMapping) -> Refund:
    """The refund in a row of its table."""
    return Refund(
        row["id"],
        payment_id=row["payment_id"],
        order_id=row["order_id"],
        amount=_amount(row),
        reason=row["reason"],
        automatic=row["automatic"],
        created_at=row["created_at"],
        state=RefundState(row["state"]),
        failure_code=row["failure_code"],
    )


def operation_of_row(row: RowMapping) -> Operation:
    """The operation in a row of its table."""
    return Operation(
        row["id"],
        OperationKind(row["kind"]),
        order_id=row["order_id"],
        payment_id=row["payment_id"],
        amount=_amount(row),
        created_at=row["created_at"],
        next_at=row["next_at"],
        refund_id=row["refund_id"],
        reference=row["reference"],
        payment_method=row["payment_method"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
        state=OperationState(row["state"]),
        attempts=row["attempts"],
        last_error=row["last_error"],
        done_at=row["done_at"],
    )


def _amount(row: RowMapping) -> Money:
    return Money(amount=row["amount_amount"], currency=row["amount_currency"])


async def upsert(uow: UnitOfWork, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row, or write it over the one with its primary key."""
    insert = sqlite.insert if uow.connection.dialect.name == "sqlite" else postgresql.insert
    key = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in key}
    await uow.execute(insert(table).values(row).on_conflict_do_update(index_elements=key, set_=rest))
