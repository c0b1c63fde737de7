"""payment_svc's figures for an audit: the money of every order, the ledger, and what the provider still has to answer.

A payment is read with its postings in one statement, so that they are of one moment even on a busy store.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy.engine import RowMapping
from starlette.responses import Response

from chassis.audit_routes import PageCut, Running, as_json
from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer
from chassis.figures import Cut, MessageFigures, Page, message_figures
from chassis.runtime import Runtime
from payment_svc.domain.ledger import Account
from payment_svc.domain.operation import OperationState
from payment_svc.domain.refund import RefundState
from payment_svc.tables import ledger, operations, payables, payments, refunds, webhooks


class PaymentFigures(Answer):
    """One attempt to pay. `ledger`: its postings say something else than it does."""

    id: UUID
    state: str
    created_at: datetime
    held: int
    captured: int
    refunded: int
    ledger: list[str]


class OrderFigures(Answer):
    """What an auditor compares with the order's own books; amounts in minor units of `currency`."""

    order_id: UUID
    state: str
    requested: int | None
    currency: str | None
    payment_id: UUID | None
    payment_state: str | None
    attempts: int
    captures: int
    held: int
    captured: int
    refunded: int
    refunding: int
    payments: list[PaymentFigures]


class Audit(MessageFigures):
    """This service's side of the books. A `breaches` entry is wrong whatever else happens; the rest is to compare."""

    service: str = "payment"
    at: datetime
    payments_by_state: dict[str, int]
    ledger: dict[str, dict[str, int]]
    open_authorizations: list[dict[str, Any]]
    operations_pending: list[dict[str, Any]]
    refunds_failed: list[UUID]
    webhooks_by_state: dict[str, int]
    breaches: list[str]


router = APIRouter(prefix="/payments/audit", tags=["audit"])


@router.get("")
async def read_figures(principal: Operator, runtime: Running) -> Audit:
    """This service's books, to compare with the other services'."""
    return await audit(runtime)


@router.get("/orders", response_model=Page[OrderFigures])
async def read_orders(principal: Operator, runtime: Running, cut: PageCut) -> Response:
    """The money of every order that was ever payable, by the order's id."""
    return as_json(await order_page(runtime.reader, cut))


async def audit(runtime: Runtime[Any]) -> Audit:
    """The figures of the whole store."""
    reader = runtime.reader
    return Audit(
        at=runtime.clock.now(),
        payments_by_state=await _counts(reader, payments.c.state),
        ledger=await _balances(reader),
        open_authorizations=[
            {"payment_id": row["id"], "order_id": row["order_id"], "amount": row["held_amount"], "state": row["state"]}
            for row in await reader.all(sa.select(payments).where(payments.c.held_amount > 0).order_by(payments.c.id))
        ],
        operations_pending=await _pending_operations(reader),
        refunds_failed=[
            row["id"]
            for row in await reader.all(sa.select(refunds.c.id).where(refunds.c.state == RefundState.FAILED.value))
        ],
        webhooks_by_state=await _counts(reader, webhooks.c.state),
        **dict(await message_figures(runtime)),
        breaches=await _breaches(reader),
    )


_AMOUNTS: Final = ("held", "captured", "refunded", "refunding")
_POSTED: Final = {
    "held": (Account.CARD_HOLDS, 1),
    "captured": (Account.SALES, -1),
    "refunded": (Account.REFUNDS, 1),
}
"""The account whose balance repeats a payment's amount, and its sign."""


async def order_page(reader: Reader, cut: Cut) -> Page[OrderFigures]:
    """A page of orders with their payments."""
    rows = await reader.all(cut.of(sa.select(payables), payables.c.order_id))
    if not rows:
        return Page(items=[], next=None)
    ids = [row["order_id"] for row in rows]
    attempts: dict[UUID, list[RowMapping]] = defaultdict(list)
    for row in await reader.all(_attempts(ids[0], ids[-1])):
        attempts[row["order_id"]].append(row)
    return Page(items=[_order_figures(row, attempts[row["order_id"]]) for row in rows], next=cut.next(ids))


def _attempts(first: UUID, last: UUID) -> sa.Select[Any]:
    """The payments of a range of orders, each with the balances of its postings."""
    posted = (
        sa.select(ledger.c.payment_id, *(_balance(name, *_POSTED[name]) for name in _POSTED))
        .where(ledger.c.order_id.between(first, last))
        .group_by(ledger.c.payment_id)
        .subquery("posted")
    )
    sums = (sa.func.coalesce(posted.c[f"posted_{name}"], 0).label(f"posted_{name}") for name in _POSTED)
    return (
        sa.select(payments, *sums)
        .outerjoin_from(payments, posted, posted.c.payment_id == payments.c.id)
        .where(payments.c.order_id.between(first, last))
        .order_by(payments.c.order_id, payments.c.id)
    )


def _balance(name: str, account: Account, sign: int) -> sa.Label[int]:
    moved = sa.case(
        (ledger.c.debit == account.value, sign * ledger.c.amount),
        (ledger.c.credit == account.value, -sign * ledger.c.amount),
        else_=0,
    )
    return sa.cast(sa.func.sum(moved), sa.BigInteger).label(f"posted_{name}")


def _order_figures(payable: RowMapping, attempts: Sequence[RowMapping]) -> OrderFigures:
    latest = next((row["state"] for row in attempts if row["id"] == payable["payment_id"]), None)
    return OrderFigures(
        order_id=payable["order_id"],
        state=payable["state"],
        requested=payable["amount_amount"],
        currency=payable["amount_currency"],
        payment_id=payable["payment_id"],
        payment_state=latest,
        attempts=len(attempts),
        captures=sum(row["captured_amount"] > 0 for row in attempts),
        **{name: sum(row[f"{name}_amount"] for row in attempts) for name in _AMOUNTS},
        payments=[_payment_figures(row) for row in attempts],
    )


def _payment_figures(row: RowMapping) -> PaymentFigures:
    amounts = {name: row[f"{name}_amount"] for name in _POSTED}
    wrong = [
        f"{name} {amount}, in the ledger {row[f'posted_{name}']}"
        for name, amount in amounts.items()
        if amount != row[f"posted_{name}"]
    ]
    return PaymentFigures(id=row["id"], state=row["state"], created_at=row["created_at"], ledger=wrong, **amounts)


async def _counts(reader: Reader, column: sa.Column[Any]) -> dict[str, int]:
    rows = await reader.all(sa.select(column.label("name"), sa.func.count().label("number")).group_by(column))
    return {row["name"]: row["number"] for row in rows}


async def _pending_operations(reader: Reader) -> list[dict[str, Any]]:
    t = operations
    columns = (t.c.id, t.c.kind, t.c.order_id, t.c.payment_id, t.c.attempts, t.c.created_at, t.c.last_error)
    rows = await reader.all(
        sa.select(*columns).where(t.c.state == OperationState.PENDING.value).order_by(t.c.created_at)
    )
    return [dict(row) for row in rows]


async def _balances(reader: Reader) -> dict[str, dict[str, int]]:
    """Debits minus credits by currency and account."""
    balances: dict[str, dict[str, int]] = {}
    for column, sign in ((ledger.c.debit, 1), (ledger.c.credit, -1)):
        total = sa.cast(sa.func.sum(ledger.c.amount), sa.BigInteger).label("total")
        for row in await reader.all(
            sa.select(ledger.c.currency, column.label("account"), total).group_by(ledger.c.currency, column)
        ):
            accounts = balances.setdefault(row["currency"], {account.value: 0 for account in Account})
            accounts[row["account"]] += sign * row["total"]
    return balances


async def _breaches(reader: Reader) -> list[str]:
    """What no moment of a healthy store shows, whatever is in flight. One statement, so it sees one moment."""
    books = {(row["currency"], row["name"]): row["total"] for row in await reader.all(_BOOKS)}
    found = [
        f"{name} in {currency}: the ledger says {total}, payments say {books.get((currency, f'payments {name}'), 0)}"
        for (currency, name), total in books.items()
        if not name.startswith("payments ") and total != books.get((currency, f"payments {name}"), 0)
    ]
    found += [
        f"{name.removeprefix('payments ')} in {currency}: payments say {total}, the ledger has nothing"
        for (currency, name), total in books.items()
        if name.startswith("payments ") and total and (currency, name.removeprefix("payments ")) not in books
    ]
    doubled = sa.select(payments.c.order_id).where(payments.c.captured_amount > 0).group_by(payments.c.order_id)
    rows = await reader.all(doubled.having(sa.func.count() > 1))
    return found + [f"order {row['order_id']} was captured more than once" for row in rows]


def _posted(name: str, account: Account, side: sa.Column[Any], other: sa.Column[Any]) -> sa.Select[Any]:
    """The balance of an account by currency, in the direction of its nature."""
    signed = sa.case((side == account.value, ledger.c.amount), else_=-ledger.c.amount)
    total = sa.cast(sa.func.sum(signed), sa.BigInteger).label("total")
    columns = (ledger.c.currency.label("currency"), sa.literal(name).label("name"), total)
    return sa.select(*columns).where(sa.or_(side == account.value, other == account.value)).group_by(ledger.c.currency)


def _kept(name: str, column: sa.Column[Any]) -> sa.Select[Any]:
    total = sa.cast(sa.func.sum(column), sa.BigInteger).label("total")
    currency = payments.c.amount_currency
    return sa.select(currency.label("currency"), sa.literal(f"payments {name}").label("name"), total).group_by(currency)


_BOOKS = sa.union_all(
    _posted("held", Account.CARD_HOLDS, ledger.c.debit, ledger.c.credit),
    _posted("captured", Account.SALES, ledger.c.credit, ledger.c.debit),
    _posted("refunded", Account.REFUNDS, ledger.c.debit, ledger.c.credit),
    _kept("held", payments.c.held_amount),
    _kept("captured", payments.c.captured_amount),
    _kept("refunded", payments.c.refunded_amount),
)
