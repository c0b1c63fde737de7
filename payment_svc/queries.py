"""Reads for GET: rows to answers, no aggregate changed, no transaction held."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.auth import Principal
from chassis.db import Reader
from chassis.seedwork import NotFoundError
from payment_svc.schemas import PaymentAnswer, PaymentList, RefundAnswer
from payment_svc.store import payment_of_row, refund_of_row
from payment_svc.tables import payments, refunds

MAX_LISTED: Final = 100

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


async def payment_by_id(reader: Reader, payment_id: UUID, principal: Principal) -> PaymentAnswer:
    """One payment, to its owner or an operator.

    Raises:
        NotFoundError: to anybody else, as if there were none.
    """
    rows = await reader.by_key(_PAYMENT, {"payment_id": payment_id})
    if not rows or not _may_see(rows[0], principal):
        raise NotFoundError("payment")
    return (await _answers(reader, rows))[0]


async def payments_of_order(reader: Reader, order_id: UUID, principal: Principal) -> PaymentList:
    """The latest attempts to pay an order, oldest first; none for an order that is unknown or somebody else's."""
    rows = await reader.by_key(_OF_ORDER, {"order_id": order_id})
    visible = [row for row in reversed(rows) if _may_see(row, principal)]
    return PaymentList(items=await _answers(reader, visible))


def _may_see(row: RowMapping, principal: Principal) -> bool:
    return principal.is_operator or row["user_id"] == principal.user_id


async def _answers(reader: Reader, rows: Sequence[RowMapping]) -> list[PaymentAnswer]:
    made: dict[UUID, list[RefundAnswer]] = {}
    if any(row["captured_amount"] for row in rows):
        for row in await reader.by_key(_REFUNDS, {"payment_ids": [row["id"] for row in rows]}):
            made.setdefault(row["payment_id"], []).append(RefundAnswer.of(refund_of_row(row)))
    return [PaymentAnswer.of(payment_of_row(row), made.get(row["id"], [])) for row in rows]
