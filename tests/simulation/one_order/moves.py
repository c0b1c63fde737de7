"""Everything that can happen next, each with the state it leads to."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from catalog_svc.commands import ExpireReservation
from catalog_svc.consumers import SUBSCRIPTIONS as CATALOG
from catalog_svc.domain.reservation import ReservationState
from catalog_svc.handlers import expire_reservation
from chassis.seedwork import DomainError
from contracts.envelope import Event
from order_svc.commands import CancelOrder, ExpireOrder
from order_svc.consumers import subscriptions
from order_svc.domain.order import OrderStatus
from order_svc.handlers import cancel_order, expire_order
from order_svc.settings import OrderSettings
from payment_svc.commands import Answered, ConfirmPayment, StartPayment
from payment_svc.consumers import SUBSCRIPTIONS as PAYMENT
from payment_svc.domain.payment import PaymentState
from payment_svc.handlers import confirm_payment, look_again, start_payment
from payment_svc.providers.port import IntentStatus, Result
from payment_svc.results import apply_answer
from tests.simulation.one_order import provider
from tests.simulation.one_order.stage import Stage, run
from tests.simulation.one_order.state import CUSTOMER, ORDER_ID, Message, State

Move = tuple[str, State]
Handler = Callable[[Any, Any], Awaitable[object]]

_HANDLERS: Final[Mapping[str, Mapping[type[Event], Any]]] = {
    "catalog": CATALOG,
    "order": subscriptions(OrderSettings()),
    "payment": PAYMENT,
}
_WAITING: Final = frozenset({OrderStatus.PENDING, OrderStatus.AWAITING_PAYMENT})
_LATER_THAN_ALL: Final = timedelta(days=1)


def must(state: State, copies: int) -> Iterator[Move]:
    """What is under way and happens some day: deliveries, calls, answers, deadlines. None: the order is at rest."""
    yield from _messages(state, copies)
    deadline = state.order.deadline_at if state.order.status in _WAITING else None
    if deadline is not None and deadline <= state.now:
        yield "the deadline is looked at", _do(state, expire_order, ExpireOrder(ORDER_ID), copies)
    elif state.budget.hours or deadline is not None:
        yield "an hour passes", _changed(state, _pass_hour)


def _messages(state: State, copies: int) -> Iterator[Move]:
    for message in state.flying:
        yield str(message), _deliver(state, message, copies)
    for id, result in state.answers:
        yield f"the provider's answer to {id} comes: {result}", _hear(state, id, result, copies)
    answered = {id for id, _ in state.answers}
    for id, operation in state.operations.items():
        if operation.pending and id not in answered:
            yield f"the provider is asked: {id}", _ask(state, id)


def may(state: State, copies: int) -> Iterator[Move]:
    """What people, rivals, the provider's line and catalog's backstop can do, as long as the budget lasts."""
    budget = state.budget
    if budget.cancellations:
        yield (
            "the customer cancels",
            _spend(state, "cancellations", cancel_order, CancelOrder(ORDER_ID, CUSTOMER), copies),
        )
    if budget.payments:
        yield from _pay(state, copies)
    if any(payment.state is PaymentState.REQUIRES_ACTION for payment in state.payments.values()):
        yield from _confirm(state, copies)
    if budget.hold_expiries and _holds(state):
        yield (
            "the hold runs out",
            _spend(
                state,
                "hold_expiries",
                expire_reservation,
                ExpireReservation(ORDER_ID),
                copies,
                state.now + _LATER_THAN_ALL,
            ),
        )
    if budget.rivals and state.item.available:
        yield "somebody else buys a unit", _changed(state, _sell_to_rival)
    yield from _line(state, copies)


def _line(state: State, copies: int) -> Iterator[Move]:
    """What a bad line to the provider, and its own page, can do."""
    budget = state.budget
    for id, result in state.answers:
        if budget.lost_answers:
            yield f"the answer to {id} is lost", _changed(state, partial(_lose, id, result))
        if budget.second_askings and state.operations[id].pending:
            after = _ask(state, id)
            after.budget = budget.spend("second_askings")
            yield f"the provider is asked a second time: {id}", after
    for payment in state.payments.values():
        if budget.notices and payment.reference is not None:
            yield "a notice comes", _notice(state, payment.id.int)
    for reference, intent in state.intents.items():
        if budget.captures_elsewhere and intent.status == IntentStatus.AUTHORIZED:
            yield "the money is taken by the provider's own page", _changed(state, partial(_take_elsewhere, reference))


def _deliver(state: State, message: Message, copies: int) -> State:
    after = state.copy()
    after.flying[message] -= 1
    if not after.flying[message]:
        del after.flying[message]
    stage = Stage(after)
    run(_HANDLERS[message.reader][type(message.event)](message.event, stage))
    return stage.close(copies)


def _do(state: State, handler: Handler, command: object, copies: int, now: datetime | None = None) -> State:
    """A use case; a refusal changes nothing."""
    stage = Stage(state.copy())
    stage.now = now or stage.now
    try:
        run(handler(command, stage))  # type: ignore[arg-type]  # handlers are coroutine functions
    except DomainError:
        return state.copy()
    return stage.close(copies)


def _spend(
    state: State, what: str, handler: Handler, command: object, copies: int, now: datetime | None = None
) -> State:
    after = _do(state, handler, command, copies, now)
    after.budget = state.budget.spend(what)
    return after


def _pay(state: State, copies: int) -> Iterator[Move]:
    stage = Stage(state.copy())
    command = StartPayment(stage.new_id(), ORDER_ID, CUSTOMER, "a card", request=None)  # type: ignore[arg-type]  # no key here
    try:
        run(start_payment(command, stage))  # type: ignore[arg-type]  # a stand-in for the unit of work
    except DomainError:
        return
    after = stage.close(copies)
    after.budget = state.budget.spend("payments")
    yield "the customer pays", after


def _confirm(state: State, copies: int) -> Iterator[Move]:
    waiting = next(p for p in state.payments.values() if p.state is PaymentState.REQUIRES_ACTION)
    yield "the customer confirms", _do(state, confirm_payment, ConfirmPayment(waiting.id, CUSTOMER), copies)


def _ask(state: State, id: str) -> State:
    after = state.copy()
    after.answers = (*after.answers, (id, provider.ask(after, after.operations[id])))
    return after


def _hear(state: State, id: str, result: Result, copies: int) -> State:
    after = state.copy()
    answers = list(after.answers)
    answers.remove((id, result))
    after.answers = tuple(answers)
    stage = Stage(after)
    run(apply_answer(Answered(after.operations[id], result), stage))  # type: ignore[arg-type]  # a stand-in
    return stage.close(copies)


def _notice(state: State, payment: int) -> State:
    """A webhook makes payment_svc look; while something is pending, that is asked first."""
    after = state.copy()
    after.budget = state.budget.spend("notices")
    found = next(p for p in after.payments.values() if p.id.int == payment)
    if not any(operation.pending for operation in after.operations.values()):
        look_again(f"notice:simulated:{state.budget.notices}", found, Stage(after))  # type: ignore[arg-type]  # a stand-in
    return after


def _changed(state: State, change: Callable[[State], None]) -> State:
    after = state.copy()
    change(after)
    return after


def _pass_hour(state: State) -> None:
    """For an order that waits, time never ends; else a few hours are enough to come late with anything."""
    state.hour += 1
    if state.budget.hours:
        state.budget = state.budget.spend("hours")


def _sell_to_rival(state: State) -> None:
    state.item.reserve(1)
    state.item.sell(1)
    state.budget = state.budget.spend("rivals")


def _lose(id: str, result: Result, state: State) -> None:
    answers = list(state.answers)
    answers.remove((id, result))
    state.answers = tuple(answers)
    state.budget = state.budget.spend("lost_answers")


def _take_elsewhere(reference: str, state: State) -> None:
    """And a notice of it is sure to come."""
    provider.capture_elsewhere(state, reference)
    state.budget = state.budget.spend("captures_elsewhere")


def _holds(state: State) -> bool:
    return any(reservation.state is ReservationState.HELD for reservation in state.reservations.values())
