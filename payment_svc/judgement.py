"""What is done about a payment whose picture at the provider differs from ours: follow it, let it go, or tell people.

Nothing is guessed: every step follows from what the provider itself answered when it was asked about that payment. What
no step can mend stays as a discrepancy; see `domain/discrepancy.py` for how often it is looked at.
"""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
import structlog

from payment_svc.commands import Judge, NoteDifferences
from payment_svc.domain.discrepancy import GRACE, Difference, Discrepancy, difference
from payment_svc.domain.operation import OperationState, stray_key
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import ACTIVE, Payment, PaymentState
from payment_svc.domain.refund import Refund
from payment_svc.handlers import let_go, settle
from payment_svc.providers.port import IntentStatus, Missing, Snapshot, Unknown
from payment_svc.results import believable, catch_up
from payment_svc.store import PaymentUnitOfWork, upsert
from payment_svc.tables import discrepancies, operations, payments, watermarks

log = structlog.get_logger()

_ENDED_WITHOUT_HOLD = (PaymentState.DECLINED, PaymentState.VOIDED, PaymentState.CAPTURE_FAILED)
_OPEN_THERE = (IntentStatus.AUTHORIZED, IntentStatus.REQUIRES_ACTION)


@dataclass(frozen=True, slots=True)
class _Ours:
    """What we know of a reference: `payment` may be one of another reference, or of none."""

    payable: Payable | None
    payment: Payment | None


async def note_differences(command: NoteDifferences, uow: PaymentUnitOfWork) -> int:
    """Remember how far the books are read, and what in them is to be looked at; how much that is."""
    known = await uow.discrepancies.get_many(listed.snapshot.reference for listed, _ in command.suspects)
    for listed, what in command.suspects:
        reference = listed.snapshot.reference
        if reference in known:
            known[reference].suspect(what, uow.now)
            continue
        found = Discrepancy(
            reference,
            what,
            found_at=uow.now,
            next_at=uow.now + GRACE,
            payment_id=listed.payment_id,
            order_id=listed.order_id,
        )
        uow.discrepancies.add(found)
    await upsert(uow, watermarks, {"provider": command.provider, "cursor": command.cursor})
    return len(command.suspects)


async def judge(command: Judge, uow: PaymentUnitOfWork) -> bool:
    """Repair what can be; True if from now on an operator has to look."""
    ours = await _ours(command.reference, uow)
    found = await uow.discrepancies.get(command.reference)
    if isinstance(command.result, Unknown) or found.settled or await _in_motion(ours, uow):
        found.wait(uow.now)
        return False
    what = await _repair(found, ours, command.result, uow)
    if what is None:
        found.settle(uow.now)
        return False
    newly_open = found.still(what, _describe(ours, command.result), uow.now)
    if newly_open:
        log.error(
            "payment.discrepancy",
            reference=found.reference,
            difference=what.value,
            payment_id=str(found.payment_id),
            detail=found.detail,
        )
    return newly_open


async def _repair(
    found: Discrepancy, ours: _Ours, result: Snapshot | Missing, uow: PaymentUnitOfWork
) -> Difference | None:
    """Do what follows from the answer; what differs even so (until what was begun is done)."""
    payable, payment = ours.payable, ours.payment
    if isinstance(result, Missing):
        # Of a reference it does not have the provider holds nothing; only a payment of ours can be amiss.
        expected = payment is not None and payment.reference == found.reference and (payment.held or payment.captured)
        return Difference.MISSING if expected else None
    if payable is None or payment is None or payment.reference != found.reference:
        return await _stray(found, ours, result, uow)
    if not believable(payment, result):
        return Difference.AMOUNT
    await catch_up(payable, payment, result, uow)
    if payment.state in _ENDED_WITHOUT_HOLD and result.status in _OPEN_THERE:
        await _let_go_once(result.reference, payment, uow)
    _take_refund_made_there(payment, result, uow)
    await settle(payable, payment, uow)
    return difference(payment, result)


async def _stray(found: Discrepancy, ours: _Ours, there: Snapshot, uow: PaymentUnitOfWork) -> Difference | None:
    """The provider has something we never heard of: nobody will ever take it, so it is let go if it is only held."""
    if there.status not in _OPEN_THERE and there.captured == there.refunded:
        return None
    if ours.payment is not None:
        if there.status in _OPEN_THERE:
            await _let_go_once(there.reference, ours.payment, uow)
        return Difference.STRAY
    adopted = await _adopt(found, ours.payable, there, uow)
    if adopted is None or ours.payable is None:
        return Difference.STRAY
    await settle(ours.payable, adopted, uow)
    return difference(adopted, there)


async def _adopt(
    found: Discrepancy, payable: Payable | None, there: Snapshot, uow: PaymentUnitOfWork
) -> Payment | None:
    """Take a lost payment of a cancelled order into our books, so that it is voided or refunded like any other.

    None unless it is certain whose it was and what for, and there is room for it beside the order's other payments.
    """
    if payable is None or not payable.cancelled or payable.user_id is None or found.payment_id is None:
        return None
    of_order = sa.select(payments.c.id).where(payments.c.order_id == payable.order_id)
    rivals = sa.or_(payments.c.state.in_([state.value for state in ACTIVE]), payments.c.captured_amount > 0)
    if there.amount != payable.amount or there.captured not in (0, there.amount.amount):
        return None
    if await uow.fetch(of_order.where(rivals)):
        return None
    payment = Payment(
        found.payment_id,
        order_id=payable.order_id,
        user_id=payable.user_id,
        amount=there.amount,
        payment_method="unknown",
        created_at=uow.now,
    )
    uow.payments.add(payment)
    if there.status is IntentStatus.REQUIRES_ACTION:
        payment.require_action(there.reference, {})
    else:
        payment.authorize(there.reference)
        await catch_up(payable, payment, there, uow)
    log.warning(
        "payment.adopted", payment_id=str(payment.id), order_id=str(payable.order_id), reference=there.reference
    )
    return payment


def _take_refund_made_there(payment: Payment, there: Snapshot, uow: PaymentUnitOfWork) -> None:
    """Money went back that we did not ask back: somebody did it by hand, at the provider."""
    more = there.refunded - payment.refunded - payment.refunding
    if more <= 0 or payment.captured < there.refunded:
        return
    refund = Refund(
        uow.new_id(),
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=payment.amount.model_copy(update={"amount": more}),
        reason="made at the provider",
        automatic=False,
        created_at=uow.now,
    )
    uow.refunds.add(refund)
    payment.begin_refund(refund.amount)
    refund.succeed()
    payment.refund(refund.id, refund.amount)


async def _let_go_once(reference: str, payment: Payment, uow: PaymentUnitOfWork) -> None:
    if await uow.operations.find(stray_key(reference)) is None:
        let_go(reference, payment, uow)


async def _ours(reference: str, uow: PaymentUnitOfWork) -> _Ours:
    """Loaded in the order of locks: the order's row first."""
    d, p = discrepancies.c, payments.c
    row = (await uow.fetch(sa.select(d.payment_id, d.order_id).where(d.reference == reference)))[0]
    same = (
        p.reference == reference
        if row["payment_id"] is None
        else sa.or_(p.reference == reference, p.id == row["payment_id"])
    )
    found = await uow.fetch(sa.select(p.id, p.order_id, p.reference).where(same))
    mine = next((each for each in found if each["reference"] == reference), found[0] if found else None)
    order_id: UUID | None = mine["order_id"] if mine else row["order_id"]
    payable = await uow.payables.find(order_id) if order_id is not None else None
    return _Ours(payable, await uow.payments.get(mine["id"]) if mine else None)


async def _in_motion(ours: _Ours, uow: PaymentUnitOfWork) -> bool:
    """An answer about the payment is still awaited, and will say itself what is the case."""
    if ours.payment is None:
        return False
    o = operations.c
    waiting = sa.select(o.id).where(o.payment_id == ours.payment.id, o.state == OperationState.PENDING.value)
    return bool(await uow.fetch(waiting.limit(1)))


def _describe(ours: _Ours, result: Snapshot | Missing) -> str:
    payment = ours.payment
    here = f"{payment.state} {payment.amount.amount} -{payment.refunded}" if payment else "nothing"
    there = f"{result.status} {result.amount.amount} -{result.refunded}" if isinstance(result, Snapshot) else "nothing"
    return f"provider: {there}; here: {here}"
