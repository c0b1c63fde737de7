"""What a provider's answer does to a payment, whichever way and in whatever order answers come."""

import sqlalchemy as sa
import structlog

from chassis.idempotency import IdempotentRequest, StoredResponse
from payment_svc.commands import Answered, FinishPayment, FinishRefund
from payment_svc.domain.operation import Operation, OperationKind
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.handlers import settle
from payment_svc.providers.port import (
    Authorized,
    Captured,
    Declined,
    IntentStatus,
    Missing,
    Refunded,
    Refused,
    RequiresAction,
    Snapshot,
    Unknown,
    Voided,
)
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import webhooks

log = structlog.get_logger()


async def apply_answer(command: Answered, uow: PaymentUnitOfWork) -> None:
    """Take an answer in, once. An unknown outcome is asked for again later, with the same key."""
    payable = await uow.payables.get(command.operation.order_id)
    payment = await uow.payments.get(command.operation.payment_id)
    operation = await uow.operations.get(command.operation.id)
    if not operation.pending:
        return
    result = command.result
    if isinstance(result, Unknown):
        operation.try_again(uow.now, result.reason)
        return
    operation.finish(uow.now)
    if isinstance(result, Snapshot):
        await _take_snapshot(operation, payable, payment, result, uow)
    elif operation.kind is OperationKind.REFUND:
        await _take_refund(operation, payment, result, uow)
    elif operation.reference not in (None, payment.reference):
        log.info("payment.stray_answered", operation=operation.id, answer=type(result).__name__)
    else:
        await _take(payable, payment, result, uow)
    await settle(payable, payment, uow)


async def finish_payment(command: FinishPayment, uow: PaymentUnitOfWork) -> StoredResponse:
    """The second transaction of POST /payments: the answer, its events and the client's response commit together."""
    if command.answered is not None:
        await apply_answer(command.answered, uow)
    payment = await uow.payments.get(command.payment_id)
    return await _keep(command.request, command.respond(payment), uow)


async def finish_refund(command: FinishRefund, uow: PaymentUnitOfWork) -> StoredResponse:
    """The second transaction of POST …/refunds."""
    if command.answered is not None:
        await apply_answer(command.answered, uow)
    refund = await uow.refunds.get(command.refund_id)
    return await _keep(command.request, command.respond(refund), uow)


async def _keep(request: IdempotentRequest, response: StoredResponse, uow: PaymentUnitOfWork) -> StoredResponse:
    await uow.idempotency.preload([request])
    uow.idempotency.store(request, response, uow.now)
    return response


async def _take(payable: Payable, payment: Payment, result: object, uow: PaymentUnitOfWork) -> None:
    """Make the move an answer stands for. One that is no news any more (a webhook was faster) changes nothing."""
    match result:
        case Authorized(reference) if payment.may_become(PaymentState.AUTHORIZED):
            payment.authorize(reference)
        case RequiresAction(reference, next_action) if payment.may_become(PaymentState.REQUIRES_ACTION):
            payment.require_action(reference, next_action)
        case Declined(code, reference) if payment.may_become(PaymentState.DECLINED):
            payment.decline(code, reference)
        case Captured() if payment.may_become(PaymentState.CAPTURED) and await _captured_twice(payment, uow):
            log.error("payment.captured_twice", payment_id=str(payment.id), order_id=str(payment.order_id))
        case Captured() if payment.may_become(PaymentState.CAPTURED):
            payment.capture()
        case Refused(code) if payment.may_become(PaymentState.CAPTURE_FAILED):
            payment.fail_capture(code)
        case Voided() if payment.may_become(PaymentState.VOIDED):
            payment.void(payable.cancel_reason or "released_by_provider")
        case Missing():
            log.error("payment.unknown_to_provider", payment_id=str(payment.id))
        case _:
            answer = type(result).__name__
            log.info("payment.late_answer", payment_id=str(payment.id), state=payment.state.value, answer=answer)


async def _captured_twice(payment: Payment, uow: PaymentUnitOfWork) -> bool:
    """Whether the order's money was taken by another attempt: our books take no second capture of an order in."""
    attempts = await uow.payments.of_order(payment.order_id)
    return any(other.captured > 0 for other in attempts if other is not payment)


async def _take_refund(operation: Operation, payment: Payment, result: object, uow: PaymentUnitOfWork) -> None:
    if operation.refund_id is None:
        raise RuntimeError("a refund operation names its refund")
    refund = await uow.refunds.get(operation.refund_id)
    match result:
        case Refunded():
            refund.succeed()
            payment.refund(refund.id, refund.amount)
        case Refused(code):
            log.error("payment.refund_refused", payment_id=str(payment.id), refund_id=str(refund.id), code=code)
            refund.fail(code)
            payment.fail_refund(refund.amount)
        case _:
            raise TypeError(f"{type(result).__name__} does not answer a refund")


async def _take_snapshot(
    operation: Operation, payable: Payable, payment: Payment, snapshot: Snapshot, uow: PaymentUnitOfWork
) -> None:
    """Catch up with the provider. Another amount than ours is never believed: quarantined, for an operator to see."""
    if believable(payment, snapshot):
        await catch_up(payable, payment, snapshot, uow)
        return
    log.error("payment.amount_mismatch", payment_id=str(payment.id), operation=operation.id)
    operation.last_error = "amount mismatch"
    _, provider, event_id = operation.id.split(":", 2)
    same_event = sa.and_(webhooks.c.provider == provider, webhooks.c.event_id == event_id)
    await uow.execute(webhooks.update().where(same_event).values(state="quarantined"))


def believable(payment: Payment, snapshot: Snapshot) -> bool:
    """Whether it is about our amount, and took all of it or nothing."""
    return snapshot.amount == payment.amount and snapshot.captured in (0, payment.amount.amount)


async def catch_up(payable: Payable, payment: Payment, snapshot: Snapshot, uow: PaymentUnitOfWork) -> None:
    """Make the move a believable snapshot stands for."""
    match snapshot.status:
        case IntentStatus.AUTHORIZED:
            await _take(payable, payment, Authorized(snapshot.reference), uow)
        case IntentStatus.DECLINED:
            await _take(payable, payment, Declined(snapshot.code or "card_declined"), uow)
        case IntentStatus.CAPTURED:
            await _take(payable, payment, Captured(), uow)
        case IntentStatus.VOIDED if payment.state is PaymentState.REQUIRES_ACTION:
            payment.decline("cancelled_by_provider")
        case IntentStatus.VOIDED:
            await _take(payable, payment, Voided(), uow)
        case IntentStatus.REQUIRES_ACTION:
            pass  # known, or the pending authorisation is about to say so
