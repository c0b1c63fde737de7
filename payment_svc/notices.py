"""What a provider's webhook does: it is remembered once and makes us look; it is never itself believed."""

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from payment_svc.commands import TakeNotice
from payment_svc.domain.operation import OperationState
from payment_svc.domain.payment import Payment
from payment_svc.handlers import look_again
from payment_svc.providers.port import Notice
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import operations, payments, webhooks

log = structlog.get_logger()


async def take_notice(command: TakeNotice, uow: PaymentUnitOfWork) -> str:
    """What was made of it: `seen` before, `ignored`, `unmatched`, `quarantined` or `accepted`.

    An accepted one has the provider asked how the payment stands, so notices may come twice, late and in any order.
    """
    notice = command.notice
    if not await _claim(command, uow):
        return "seen"
    state = await _judge(command.provider, notice, uow)
    table = webhooks
    await uow.execute(
        table.update()
        .where(table.c.provider == command.provider, table.c.event_id == notice.id)
        .values(state=state, payment_id=notice.payment_id)
    )
    log.info("webhook.taken", provider=command.provider, type=notice.type, result=state)
    return state


async def _judge(provider: str, notice: Notice, uow: PaymentUnitOfWork) -> str:
    if not notice.relevant:
        return "ignored"
    payment = await _find(notice, uow)
    if payment is None:
        return "unmatched"
    if notice.amount is not None and notice.amount != payment.amount:
        log.error("webhook.amount_mismatch", provider=provider, payment_id=str(payment.id))
        return "quarantined"
    waiting = await uow.operations.select(
        sa.and_(operations.c.payment_id == payment.id, operations.c.state == OperationState.PENDING.value)
    )
    for operation in waiting:
        operation.hurry(uow.now)
        uow.hand_over(operation)
    if not waiting and payment.reference is not None:
        look_again(f"notice:{provider}:{notice.id}", payment, uow)
    return "accepted"


async def _find(notice: Notice, uow: PaymentUnitOfWork) -> Payment | None:
    if notice.payment_id is None:
        return None
    rows = await uow.fetch(sa.select(payments.c.order_id).where(payments.c.id == notice.payment_id))
    if not rows:
        return None
    await uow.payables.get(rows[0]["order_id"])
    return await uow.payments.get(notice.payment_id)


async def _claim(command: TakeNotice, uow: PaymentUnitOfWork) -> bool:
    """Take the provider's event id, in this transaction; False if it is taken."""
    row: dict[str, Any] = {
        "provider": command.provider,
        "event_id": command.notice.id,
        "type": command.notice.type,
        "state": "accepted",
        "received_at": uow.now,
    }
    insert = sqlite.insert if uow.connection.dialect.name == "sqlite" else postgresql.insert
    return await uow.execute(insert(webhooks).values(row).on_conflict_do_nothing()) == 1
