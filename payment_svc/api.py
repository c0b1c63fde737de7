"""HTTP door: schema → command → writer → schema; the provider is called between two transactions."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from chassis.auth import AnyUser, Customer, Operator
from chassis.body import json_body
from chassis.direct import DirectRoute
from chassis.fields import CanonicalUuid, PathUuid
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.idempotency_key import idempotent, stored_answer
from chassis.problems import ProblemError
from chassis.seedwork import NotFoundError
from contracts.money import Money
from payment_svc.commands import Begun, ConfirmPayment, FinishPayment, FinishRefund, RequestRefund, StartPayment
from payment_svc.domain.payment import Payment
from payment_svc.domain.refund import Refund
from payment_svc.handlers import confirm_payment, request_refund, start_payment
from payment_svc.queries import payment_by_id, payments_of_order
from payment_svc.results import finish_payment, finish_refund
from payment_svc.runtime import PaymentRuntime
from payment_svc.schemas import PaymentAnswer, PaymentList, PayOrder, RefundAnswer, RefundPayment

router = APIRouter(prefix="/payments", tags=["payments"], route_class=DirectRoute)


async def _runtime(request: Request) -> PaymentRuntime:
    runtime: PaymentRuntime = request.app.state.runtime
    return runtime


Service: TypeAlias = Annotated[PaymentRuntime, Depends(_runtime)]


@router.post("", status_code=201, response_model=PaymentAnswer)
async def pay(
    principal: Customer,
    request: Annotated[IdempotentRequest, idempotent("POST /payments")],
    body: Annotated[PayOrder, json_body(PayOrder)],
    service: Service,
) -> Response:
    """Try to pay an order. A decline is an answer (`status: declined`), not an error: the order stays payable.

    `pending`: the provider has not said yet what became of it; read the payment until it has.
    """
    if not service.courier.provider.accepts(body.payment_method):
        error = {"pointer": "/payment_method", "code": "unknown", "message": "Unknown payment method"}
        raise ProblemError(422, "validation", errors=[error])
    patience = service.settings.hear_of_order_seconds
    if not await service.arrivals.wait_for(body.order_id, principal.user_id, patience):
        raise NotFoundError("order")
    command = StartPayment(service.ids.new(), body.order_id, principal.user_id, body.payment_method, request)
    begun = await service.writer.execute(start_payment, command)
    if isinstance(begun, StoredResponse):
        return stored_answer(begun)
    answered = await service.courier.call(begun.operation) if begun.operation else None
    finish = FinishPayment(begun.subject_id, answered, request, _created)
    return stored_answer(await service.courier.take_in(finish_payment, finish))


@router.get("")
async def list_payments(
    principal: AnyUser, order_id: Annotated[CanonicalUuid, Query()], service: Service
) -> PaymentList:
    """The attempts to pay one order."""
    return await payments_of_order(service.reader, order_id, principal)


@router.get("/{payment_id}")
async def read_payment(principal: AnyUser, payment_id: PathUuid, service: Service) -> PaymentAnswer:
    """One attempt and its refunds."""
    return await payment_by_id(service.reader, payment_id, principal)


@router.post("/{payment_id}/confirm")
async def confirm(principal: Customer, payment_id: PathUuid, service: Service) -> PaymentAnswer:
    """Go on after the action the provider required. Safe to repeat: the state is answered as it is."""
    command = ConfirmPayment(payment_id, principal.user_id)
    begun: Begun = await service.writer.execute(confirm_payment, command)
    if begun.operation is not None:
        await service.courier.run(begun.operation)
    return await payment_by_id(service.reader, payment_id, principal)


@router.post("/{payment_id}/refunds", status_code=201, response_model=RefundAnswer)
async def refund(
    _: Operator,
    payment_id: PathUuid,
    request: Annotated[IdempotentRequest, idempotent("POST /payments/{id}/refunds")],
    body: Annotated[RefundPayment, json_body(RefundPayment)],
    service: Service,
) -> Response:
    """Give back a part of what was captured, or all that is left of it."""
    amount = Money(amount=body.amount.amount, currency=body.amount.currency) if body.amount else None
    command = RequestRefund(service.ids.new(), payment_id, amount, body.reason, request)
    begun = await service.writer.execute(request_refund, command)
    if isinstance(begun, StoredResponse):
        return stored_answer(begun)
    answered = await service.courier.call(begun.operation) if begun.operation else None
    finish = FinishRefund(begun.subject_id, answered, request, _refund_created)
    return stored_answer(await service.courier.take_in(finish_refund, finish))


def _created(payment: Payment) -> StoredResponse:
    body = PaymentAnswer.of(payment).model_dump_json().encode()
    return StoredResponse(201, body, {"Location": f"/payments/{payment.id}"})


def _refund_created(made: Refund) -> StoredResponse:
    body = RefundAnswer.of(made).model_dump_json().encode()
    return StoredResponse(201, body, {"Location": f"/payments/{made.payment_id}"})
