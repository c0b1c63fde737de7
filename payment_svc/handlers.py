"""Use cases: what order_svc's decisions, customers and operators make of payments. The provider is called elsewhere."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
import structlog

from chassis.idempotency import Interrupted, StoredResponse
from chassis.seedwork import NotFoundError
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from contracts.payment import PaymentCaptureFailed
from payment_svc.commands import Begun, ConfirmPayment, RequestRefund, StartPayment
from payment_svc.domain.errors import AlreadyPaidError, OrderNotPayableError, PaymentInProgressError
from payment_svc.domain.operation import (
    LEASE,
    Operation,
    OperationKind,
    authorize_key,
    capture_key,
    confirm_key,
    refund_key,
    stray_key,
    void_key,
)
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.domain.refund import Refund, RefundState
from payment_svc.domain.settlement import Step, next_step
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import payments, refunds

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Plan:
    kind: OperationKind
    key: str


async def on_payment_requested(event: OrderPaymentRequested, uow: PaymentUnitOfWork) -> None:
    """The order can be paid from now on, unless it was cancelled before this came."""
    await keep_request(event, uow)
    uow.arrived(event.order_id, event.user_id)
    await _settle_order(event.order_id, uow)


async def on_order_confirmed(event: OrderConfirmed, uow: PaymentUnitOfWork) -> None:
    """Capture, if this payment is held here. If nothing is held, order_svc has to know: it would wait for ever."""
    payable = await uow.payables.of_order(event.order_id)
    news = payable.confirmed_payment_id is None
    await keep_confirmation(event, uow)
    payment = await uow.payments.find(event.payment_id)
    if news and not payable.cancelled:
        _refuse_what_is_gone(event, payment, uow)
    await _settle_order(event.order_id, uow)


async def on_order_cancelled(event: OrderCancelled, uow: PaymentUnitOfWork) -> None:
    """Void or refund what there is; what is on its way is dealt with when the provider has answered."""
    await keep_cancellation(event, uow)
    await _settle_order(event.order_id, uow)


# What is kept of order_svc's decisions, without what follows from it: a rebuild of `payables` does this and no more.


async def keep_request(event: OrderPaymentRequested, uow: PaymentUnitOfWork) -> None:
    (await uow.payables.of_order(event.order_id)).request(event.user_id, event.amount, event.pay_by)


async def keep_confirmation(event: OrderConfirmed, uow: PaymentUnitOfWork) -> None:
    (await uow.payables.of_order(event.order_id)).confirm(event.payment_id)


async def keep_cancellation(event: OrderCancelled, uow: PaymentUnitOfWork) -> None:
    (await uow.payables.of_order(event.order_id)).cancel(event.reason)


async def start_payment(command: StartPayment, uow: PaymentUnitOfWork) -> Begun | StoredResponse:
    """Commit the intent to pay; the provider is called after.

    Raises:
        NotFoundError: no such order, or somebody else's.
        DomainError: `order-not-payable`, `already-paid`, `payment-in-progress`, or those of idempotency keys.
    """
    payable = await uow.payables.find(command.order_id)
    known = await uow.idempotency.find(command.request, uow.now)
    if isinstance(known, StoredResponse):
        return known
    if isinstance(known, Interrupted):
        return await _resume(known.resource_id, authorize_key(known.resource_id), uow)
    if payable is None or not payable.belongs_to(command.user_id):
        raise NotFoundError("order")
    await _refuse_second_payment(payable, uow)
    payment = Payment(
        command.payment_id,
        order_id=payable.order_id,
        user_id=command.user_id,
        amount=payable.amount_due(uow.now),
        payment_method=command.payment_method,
        created_at=uow.now,
    )
    uow.payments.add(payment)
    payable.payment_id = payment.id
    operation = _operation(_Plan(OperationKind.AUTHORIZE, authorize_key(payment.id)), payment, uow)
    uow.idempotency.begin(command.request, payment.id, uow.now)
    return Begun(payment.id, operation)


async def confirm_payment(command: ConfirmPayment, uow: PaymentUnitOfWork) -> Begun:
    """Go on after the customer's action. A payment that waits for none is left as it is.

    Raises:
        NotFoundError: no such payment, or somebody else's.
        OrderNotPayableError: the order was cancelled or its time to pay is over.
    """
    order_id = await _order_of(command.payment_id, uow)
    payable = await uow.payables.get(order_id)
    payment = await uow.payments.get(command.payment_id)
    if payment.user_id != command.user_id:
        raise NotFoundError("payment")
    if payment.state is PaymentState.REQUIRES_ACTION:
        payable.amount_due(uow.now)
        payment.resume()
        key = confirm_key(payment.id, payment.confirmations)
        return Begun(payment.id, _operation(_Plan(OperationKind.CONFIRM, key), payment, uow))
    return Begun(payment.id, None)


async def request_refund(command: RequestRefund, uow: PaymentUnitOfWork) -> Begun | StoredResponse:
    """Commit the intent to give money back; the provider is called after.

    Raises:
        NotFoundError: no such payment.
        DomainError: `refund-exceeds-capture`, or those of idempotency keys.
    """
    payment = await uow.payments.get(command.payment_id)
    known = await uow.idempotency.find(command.request, uow.now)
    if isinstance(known, StoredResponse):
        return known
    if isinstance(known, Interrupted):
        return await _resume(known.resource_id, refund_key(known.resource_id), uow)
    refund = Refund(
        command.refund_id,
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=command.amount or payment.refundable,
        reason=command.reason,
        automatic=False,
        created_at=uow.now,
    )
    operation = _begin_refund(payment, refund, uow)
    uow.idempotency.begin(command.request, refund.id, uow.now)
    return Begun(refund.id, operation)


async def settle(payable: Payable, payment: Payment, uow: PaymentUnitOfWork) -> None:
    """Begin whatever has to happen next with the order's money."""
    match next_step(payable, payment):
        case Step.CAPTURE:
            payment.begin_capture()
            plan = _Plan(OperationKind.CAPTURE, capture_key(payment.id))
            uow.hand_over(_operation(plan, payment, uow))
        case Step.VOID:
            _begin_void(payment, uow)
        case Step.REFUND:
            await _refund_the_rest(payable, payment, uow)
        case None:
            pass


def _refuse_what_is_gone(event: OrderConfirmed, payment: Payment | None, uow: PaymentUnitOfWork) -> None:
    """A payment's row is committed before anybody hears of it: one that is not here was lost with a store."""
    if payment is None:
        log.error("payment.confirmed_unknown", order_id=str(event.order_id), payment_id=str(event.payment_id))
        uow.publish(PaymentCaptureFailed(payment_id=event.payment_id, order_id=event.order_id, code="unknown_payment"))
    elif payment.state in (PaymentState.VOIDED, PaymentState.DECLINED):
        payment.refuse_capture("released_by_provider")


async def _settle_order(order_id: UUID, uow: PaymentUnitOfWork) -> None:
    payable = await uow.payables.get(order_id)
    if payable.payment_id is not None:
        await settle(payable, await uow.payments.get(payable.payment_id), uow)


def _begin_void(payment: Payment, uow: PaymentUnitOfWork) -> None:
    payment.begin_void()
    uow.hand_over(_operation(_Plan(OperationKind.VOID, void_key(payment.id)), payment, uow))


async def _refund_the_rest(payable: Payable, payment: Payment, uow: PaymentUnitOfWork) -> None:
    """Give back all that is left. What the provider refused once, an operator has to look at: it would refuse again."""
    refused = await uow.refunds.select(
        sa.and_(refunds.c.payment_id == payment.id, refunds.c.automatic, refunds.c.state == RefundState.FAILED.value)
    )
    if refused:
        log.error("payment.refund_needs_operator", payment_id=str(payment.id), order_id=str(payment.order_id))
        return
    refund = Refund(
        uow.new_id(),
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.refundable,
        reason=payable.cancel_reason or "order_cancelled",
        automatic=True,
        created_at=uow.now,
    )
    uow.hand_over(_begin_refund(payment, refund, uow))


def _begin_refund(payment: Payment, refund: Refund, uow: PaymentUnitOfWork) -> Operation:
    payment.begin_refund(refund.amount)
    uow.refunds.add(refund)
    return _operation(_Plan(OperationKind.REFUND, refund_key(refund.id)), payment, uow, refund)


async def _refuse_second_payment(payable: Payable, uow: PaymentUnitOfWork) -> None:
    """One attempt at a time: it ended with nothing held or taken, or it waits for its customer, who is here now."""
    if payable.payment_id is None or payable.cancelled:
        return
    payment = await uow.payments.get(payable.payment_id)
    match payment.state:
        case PaymentState.PENDING:
            raise PaymentInProgressError
        case PaymentState.REQUIRES_ACTION:
            payable.amount_due(uow.now)
            _begin_void(payment, uow)
            await uow.flush()  # it makes room for the new one, which the store would refuse beside it
        case PaymentState.CAPTURE_FAILED:
            raise OrderNotPayableError("This order's payment has failed; place a new order.")
        case PaymentState.DECLINED | PaymentState.VOIDED | PaymentState.VOIDING:
            return
        case _:
            raise AlreadyPaidError


async def _resume(subject_id: UUID, key: str, uow: PaymentUnitOfWork) -> Begun:
    """A process died with this request in hand: go on with its operation, with the same key at the provider."""
    operation = await uow.operations.get(key)
    if operation.pending:
        operation.next_at = uow.now + LEASE
    return Begun(subject_id, operation if operation.pending else None)


async def _order_of(payment_id: UUID, uow: PaymentUnitOfWork) -> UUID:
    """Looked up without a lock, so that the order's row can be locked first."""
    rows = await uow.fetch(sa.select(payments.c.order_id).where(payments.c.id == payment_id))
    if not rows:
        raise NotFoundError("payment")
    order_id: UUID = rows[0]["order_id"]
    return order_id


def _operation(
    plan: _Plan,
    payment: Payment,
    uow: PaymentUnitOfWork,
    refund: Refund | None = None,
    reference: str | None = None,
) -> Operation:
    """The row that makes sure the call is made. Until the lease ends it is its maker's to call."""
    operation = Operation(
        plan.key,
        plan.kind,
        order_id=payment.order_id,
        payment_id=payment.id,
        amount=refund.amount if refund else payment.amount,
        created_at=uow.now,
        next_at=uow.now + LEASE,
        refund_id=refund.id if refund else None,
        reference=reference or payment.reference,
        payment_method=payment.payment_method if plan.kind is OperationKind.AUTHORIZE else None,
        causation_id=uow.context.causation_id,
        traceparent=uow.context.traceparent,
    )
    uow.operations.add(operation)
    return operation


def let_go(reference: str, payment: Payment, uow: PaymentUnitOfWork) -> None:
    """Have the provider void what it holds under a reference that our payment's own books know nothing of."""
    plan = _Plan(OperationKind.VOID, stray_key(reference))
    uow.hand_over(_operation(plan, payment, uow, reference=reference))


def look_again(key: str, payment: Payment, uow: PaymentUnitOfWork) -> None:
    """Ask the provider, in the background, how the payment stands."""
    uow.hand_over(_operation(_Plan(OperationKind.RETRIEVE, key), payment, uow))
