"""payment_svc: a year of payments and what its prunes leave of the calls that made them, and what it is asked."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.grow.asking import BUYER, Asked, Headers, Request
from bench.grow.seed import DIALECTS, Known, Rows, delivery, insert
from chassis.clock import SystemClock
from chassis.ids import Uuid7
from payment_svc.domain.payable import PayableState
from payment_svc.settings import PaymentSettings
from payment_svc.tables import payables

_ANSWERED: Final = timedelta(days=PaymentSettings.model_fields["keep_answered_days"].default)
_REFERENCE: Final = "'sim_0_1000_EUR_' || substr(CAST(payment_id AS TEXT), 13, 20)"

_HISTORY: Final = (
    Rows("""
    INSERT INTO payables (order_id, state, user_id, amount_amount, amount_currency, pay_by, payment_id,
        confirmed_payment_id, cancel_reason)
    SELECT order_id, CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'confirmed' END, user_id, 1000, 'EUR', at, payment_id,
        CASE WHEN n % 20 <> 10 THEN payment_id END, CASE n % 10 WHEN 0 THEN 'requested_by_customer' END
    FROM seed"""),
    Rows(f"""
    INSERT INTO payments (id, order_id, user_id, state, amount_amount, amount_currency, payment_method, reference,
        failure_code, held_amount, captured_amount, refunded_amount, refunding_amount, confirmations, created_at,
        version)
    SELECT payment_id, order_id, user_id,
        CASE n % 20 WHEN 0 THEN 'refunded' WHEN 10 THEN 'declined' ELSE 'captured' END,
        1000, 'EUR', 'pm_card_visa', {_REFERENCE}, CASE n % 20 WHEN 10 THEN 'card_declined' END, 0,
        CASE n % 20 WHEN 10 THEN 0 ELSE 1000 END, CASE n % 20 WHEN 0 THEN 1000 ELSE 0 END, 0, 0, at, 3
    FROM seed"""),  # noqa: S608 - our own constants
    Rows("""
    INSERT INTO refunds (id, payment_id, order_id, state, amount_amount, amount_currency, reason, automatic, created_at)
    SELECT refund_id, payment_id, order_id, 'succeeded', 1000, 'EUR', 'requested_by_customer', TRUE, at
    FROM seed WHERE n % 20 = 0"""),
    Rows("""
    INSERT INTO ledger (fact, debit, credit, amount, currency, order_id, payment_id, at)
    SELECT 'payment:' || payment_id || ':' || moved.column1, moved.column2, moved.column3, 1000, 'EUR', order_id,
        payment_id, at
    FROM seed CROSS JOIN (VALUES ('held', 'card_holds', 'hold_obligations'),
        ('hold_ended', 'hold_obligations', 'card_holds'), ('captured', 'provider_balance', 'sales')) AS moved
    WHERE n % 20 <> 10"""),
    Rows("""
    INSERT INTO ledger (fact, debit, credit, amount, currency, order_id, payment_id, at)
    SELECT 'refund:' || refund_id || '\\:refunded', 'refunds', 'provider_balance', 1000, 'EUR', order_id, payment_id, at
    FROM seed WHERE n % 20 = 0"""),
    Rows(
        f"""
    INSERT INTO provider_operations (id, kind, state, order_id, payment_id, amount_amount, amount_currency, reference,
        payment_method, attempts, next_at, created_at, done_at)
    SELECT 'pay:' || payment_id || ':' || kind.column1, kind.column1, 'done', order_id, payment_id, 1000, 'EUR',
        {_REFERENCE}, CASE kind.column1 WHEN 'authorize' THEN 'pm_card_visa' END, 1, at, at, at
    FROM seed CROSS JOIN (VALUES ('authorize'), ('capture')) AS kind
    WHERE at > :since AND (n % 20 <> 10 OR kind.column1 = 'authorize')""",  # noqa: S608 - our own
        _ANSWERED,
    ),
    Rows(
        f"""
    INSERT INTO provider_operations (id, kind, state, order_id, payment_id, refund_id, amount_amount, amount_currency,
        reference, attempts, next_at, created_at, done_at)
    SELECT 'refund:' || refund_id, 'refund', 'done', order_id, payment_id, refund_id, 1000, 'EUR', {_REFERENCE}, 1, at,
        at, at
    FROM seed WHERE at > :since AND n % 20 = 0""",  # noqa: S608 - our own
        _ANSWERED,
    ),
    Rows(
        """
    INSERT INTO webhook_events (provider, event_id, type, state, payment_id, received_at)
    SELECT 'remote', 'evt_' || payment_id, 'payment.captured', 'taken', payment_id, at FROM seed WHERE at > :since""",
        _ANSWERED,
    ),
)
"""Every payment is over: captured, refunded or declined."""


async def fill(connection: AsyncConnection, to_pay: int, now: datetime) -> list[UUID]:
    """The payments of the seed with all that belongs to them, and `to_pay` orders of the buyer's that can be paid."""
    kept = delivery(
        DIALECTS[connection.dialect.name].random,
        sends=("payment.captured.v1", 2),
        hears=("order.confirmed.v1", 2),
        route="POST /payments",
    )
    await insert(connection, [*_HISTORY, *kept], now)
    ids = Uuid7(SystemClock())
    payable = {
        "state": PayableState.OPEN.value,
        "user_id": BUYER,
        "amount_amount": 1000,
        "amount_currency": "EUR",
        "pay_by": now + timedelta(days=1),
    }
    open_ones = [ids.new() for _ in range(to_pay)]
    await connection.execute(sa.insert(payables), [{"order_id": order_id, **payable} for order_id in open_ones])
    return open_ones


def questions(customer: Headers, operator: Headers, orders: Sequence[Known], to_pay: Iterator[UUID]) -> list[Asked]:
    """A payment of the seed is asked for by an operator, who may see them all. Each of `to_pay` is paid once."""

    def pay(_: int) -> Request:
        order_id = next(to_pay, None)
        if order_id is None:
            raise RuntimeError("every order that was prepared to be paid has been paid")
        body = {"order_id": str(order_id), "payment_method": "pm_card_visa"}
        return Request("POST", "/payments", {**customer, "Idempotency-Key": str(uuid4())}, body)

    def payment(number: int) -> Request:
        return Request("GET", f"/payments/{orders[number % len(orders)].payment_id}", operator)

    def of_order(number: int) -> Request:
        return Request("GET", f"/payments?order_id={orders[number % len(orders)].order_id}", operator)

    return [
        Asked("payment", "`POST /payments`", pay),
        Asked("payment", "a payment", payment),
        Asked("payment", "an order's payments", of_order),
    ]
