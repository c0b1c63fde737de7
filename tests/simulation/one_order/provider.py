"""The provider, modelled: the answers of the simulated one, with books that can be copied along with a state."""

from dataclasses import replace

from payment_svc.domain.operation import Operation, OperationKind
from payment_svc.providers.port import (
    Authorized,
    Captured,
    Declined,
    IntentStatus,
    Missing,
    Refunded,
    Refused,
    RequiresAction,
    Result,
    Snapshot,
    Voided,
)
from tests.simulation.one_order.state import PRICE, Intent, State

VISA = "visa"
DECLINED_FIRST = "declined first"
NEEDS_ACTION = "needs action"
CAPTURE_FAILS = "capture fails"


def ask(state: State, operation: Operation) -> Result:
    """Do it, once per key, and answer."""
    if operation.kind is OperationKind.RETRIEVE:
        return _look(state, operation.reference or "")
    if operation.id not in state.told:
        state.told[operation.id] = _act(state, operation)
    return state.told[operation.id]


def capture_elsewhere(state: State, reference: str) -> None:
    """Somebody takes the money by the provider's own page."""
    state.intents[reference] = _captured(state.intents[reference])


def _look(state: State, reference: str) -> Result:
    intent = state.intents.get(reference)
    if intent is None:
        return Missing()
    code = "declined" if intent.status == IntentStatus.DECLINED else ""
    status = IntentStatus(intent.status)
    return Snapshot(reference, status, PRICE, captured=intent.captured, refunded=intent.refunded, code=code)


def _act(state: State, operation: Operation) -> Result:
    reference = operation.reference or f"ref-{operation.payment_id.int}"
    if operation.kind is OperationKind.AUTHORIZE:
        return _authorize(state, reference)
    intent = state.intents[reference]
    match operation.kind, IntentStatus(intent.status):
        case OperationKind.CONFIRM, IntentStatus.REQUIRES_ACTION | IntentStatus.AUTHORIZED | IntentStatus.CAPTURED:
            if intent.status == IntentStatus.REQUIRES_ACTION:
                state.intents[reference] = Intent(IntentStatus.AUTHORIZED)
            return Authorized(reference)
        case OperationKind.CONFIRM, _:
            return Declined("cancelled", reference)
        case OperationKind.CAPTURE | OperationKind.VOID, IntentStatus.CAPTURED:
            return Captured()
        case OperationKind.CAPTURE, IntentStatus.AUTHORIZED if state.card != CAPTURE_FAILS:
            state.intents[reference] = _captured(intent)
            return Captured()
        case OperationKind.CAPTURE, _:
            state.intents[reference] = Intent(IntentStatus.VOIDED)
            return Refused("not_capturable")
        case OperationKind.VOID, _:
            state.intents[reference] = Intent(IntentStatus.VOIDED)
            return Voided()
        case _:
            if intent.refunded + operation.amount.amount > intent.captured:
                return Refused("refund_exceeds_capture")
            state.intents[reference] = replace(intent, refunded=intent.refunded + operation.amount.amount)
            return Refunded()


def _authorize(state: State, reference: str) -> Result:
    match state.card:
        case "declined first" if not state.intents:
            state.intents[reference] = Intent(IntentStatus.DECLINED)
            return Declined("declined", reference)
        case "needs action":
            state.intents[reference] = Intent(IntentStatus.REQUIRES_ACTION)
            return RequiresAction(reference, {"type": "challenge"})
        case _:
            state.intents[reference] = Intent(IntentStatus.AUTHORIZED)
            return Authorized(reference)


def _captured(intent: Intent) -> Intent:
    return Intent(IntentStatus.CAPTURED, PRICE.amount, intent.refunded, intent.captures + 1)
