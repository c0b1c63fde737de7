"""Reads for GET: rows to answers, no aggregate changed, no transaction held."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.auth import Principal
from chassis.db import Reader
from chassis.figures import message_figures
from chassis.seedwork import NotFoundError
from payment_svc.domain.ledger import Account
from payment_svc.domain.operation import OperationState
from payment_svc.domain.refund import RefundState
from payment_svc.schemas import Audit, OrderFigures, PaymentAnswer, PaymentList, RefundAnswer
from payment_svc.store import payment_of_row, refund_of_row
from payment_svc.tables import RUNTIME, ledger, operations, payables, payments, refunds, webhooks

MAX_LISTED: Final = 100
LOOK_AGAIN_SECONDS: Final = 0.02

_OWN_ORDER = sa.select(payables.c.order_id).where(
    payables.c.order_id == sa.bindparam("order_id"), payables.c.user_id == sa.bindparam("user_id")
)

_PAYMENT = sa.select(payments).where(payments.c.id == sa.bindparam("payment_id"))
_OF_ORDER = (
    sa.select(payments)
    .where(payments.c.order_id == sa.bindparam("order_id"))
    .order_by(payments.c.created_at.desc(), payments.c.id.desc())
    .limit(MAX_LISTED)
)
_REFUNDS = (
    sa.select(refunds)
    .where(refunds.c.payment_id.in_(sa.bindparam("payment_ids", expanding=True)))
    .order_by(refunds.c.created_at, refunds.c.id)
)


async def wait_for_order(reader: Reader, order_id: UUID, user_id: UUID, seconds: float) -> None:
    """Return when this user's order is known here, and after `seconds` in any case.

    A client is told by order_svc that it may pay, and may be faster than the event that tells us. Another user's order
    takes as long as one that does not exist.
    """
    for _ in range(int(seconds / LOOK_AGAIN_SECONDS)):
        if await reader.first(_OWN_ORDER, {"order_id": order_id, "user_id": user_id}) is not None:
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def payment_by_id(reader: Reader, payment_id: UUID, principal: Principal) -> PaymentAnswer:
    """One payment, to its owner or an operator.

    Raises:
        NotFoundError: to anybody else, as if there were none.
    """
    row = await reader.first(_PAYMENT, {"payment_id": payment_id})
    if row is None or not _may_see(row, principal):
        raise NotFoundError("payment")
    return (await _answers(reader, [row]))[0]


async def payments_of_order(reader: Reader, order_id: UUID, principal: Principal) -> PaymentList:
    """The latest attempts to pay an order, oldest first; none for an order that is unknown or somebody else's."""
    rows = await reader.all(_OF_ORDER, {"order_id": order_id})
    visible = [row for row in reversed(rows) if _may_see(row, principal)]
    return PaymentList(items=await _answers(reader, visible))


def _may_see(row: RowMapping, principal: Principal) -> bool:
    return principal.is_operator or row["user_id"] == principal.user_id


async def _answers(reader: Reader, rows: Sequence[RowMapping]) -> list[PaymentAnswer]:
    made: dict[UUID, list[RefundAnswer]] = {}
    if any(row["captured_amount"] for row in rows):
        for row in await reader.all(_REFUNDS, {"payment_ids": [row["id"] for row in rows]}):
            made.setdefault(row["payment_id"], []).append(RefundAnswer.of(refund_of_row(row)))
    return [PaymentAnswer.of(payment_of_row(row), made.get(row["id"], [])) for row in rows]


async def audit(reader: Reader) -> Audit:
    """The figures of the whole store."""
    return Audit(
        orders=await _order_figures(reader),
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
        **dict(await message_figures(reader, RUNTIME)),
        breaches=await _breaches(reader),
    )


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


async def _order_figures(reader: Reader) -> list[OrderFigures]:
    sums = (
        sa.select(
            payments.c.order_id,
            sa.func.count().label("attempts"),
            sa.func.count().filter(payments.c.captured_amount > 0).label("captures"),
            *(
                sa.cast(sa.func.sum(payments.c[f"{name}_amount"]), sa.BigInteger).label(name)
                for name in ("held", "captured", "refunded", "refunding")
            ),
        )
        .group_by(payments.c.order_id)
        .subquery()
    )
    latest = payments.alias("latest")
    statement = (
        sa.select(
            payables.c.order_id,
            payables.c.state,
            payables.c.amount_amount.label("requested"),
            payables.c.amount_currency.label("currency"),
            payables.c.payment_id,
            latest.c.state.label("payment_state"),
            *(
                sa.func.coalesce(sums.c[name], 0).label(name)
                for name in ("attempts", "captures", "held", "captured", "refunded", "refunding")
            ),
        )
        .select_from(payables)
        .outerjoin(sums, sums.c.order_id == payables.c.order_id)
        .outerjoin(latest, latest.c.id == payables.c.payment_id)
        .order_by(payables.c.order_id)
    )
    return [OrderFigures(**row) for row in await reader.all(statement)]


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
