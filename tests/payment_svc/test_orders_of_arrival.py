"""Facts and answers in every order, and then again: the money always ends the same."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import permutations
from uuid import UUID

import pytest

from chassis.seedwork import DomainError
from contracts.payment import PaymentCaptureFailed
from payment_svc.commands import TakeNotice
from payment_svc.domain.ledger import Account
from payment_svc.domain.operation import OperationKind
from payment_svc.domain.payment import PaymentState
from payment_svc.notices import take_notice
from payment_svc.providers.cards import Card
from payment_svc.providers.port import Notice
from tests.payment_svc.till import AnOrder, Till

pytestmark = pytest.mark.exhaustive

REQUESTED = "requested"
PAY = "pay"
ANSWERED = "answered"
CONFIRMED = "confirmed"
CANCELLED = "cancelled"
CAPTURE_ANSWERED = "capture"
STEPS = (REQUESTED, PAY, ANSWERED, CONFIRMED, CANCELLED, CAPTURE_ANSWERED)


async def take(step: str, till: Till, order: AnOrder, card: str) -> None:
    """One step; a client's refused attempt is a step too."""
    match step:
        case "requested":
            await till.send(order.requested(till.clock))
        case "pay":
            with suppress(DomainError):
                await till.begin(order, card)
        case "answered":
            for _ in range(2):  # the first answer may be lost
                await till.answer(order, OperationKind.AUTHORIZE)
        case "capture":
            for _ in range(2):
                await till.answer(order, OperationKind.CAPTURE)
        case "confirmed":
            await till.send(order.confirmed())
        case "cancelled":
            await till.send(order.cancelled())


async def live_through(till: Till, steps: Sequence[str], card: str) -> AnOrder:
    order = AnOrder()
    for step in steps:
        if step == PAY and REQUESTED not in steps[: steps.index(PAY)]:
            continue  # refused as unknown; that has a test of its own, and a refusal costs its neighbours' batch
        await take(step, till, order, card)
    await till.work_off(order)
    return order


async def deliver_again(till: Till, steps: Sequence[str], order: AnOrder) -> None:
    """Every event once more, under another id."""
    for step in steps:
        if step in (REQUESTED, CONFIRMED, CANCELLED):
            await take(step, till, order, Card.VISA)
    await till.work_off(order)


async def live_all(till: Till, stories: Sequence[Sequence[str]], card: str) -> list[AnOrder]:
    """All the stories, and that hearing everything once more changes nothing any more."""
    orders = await asyncio.gather(*(live_through(till, story, card) for story in stories))
    before, money, told = await till.audit(), await till.orders(), await till.emitted()
    await asyncio.gather(*(deliver_again(till, story, order) for story, order in zip(stories, orders, strict=True)))
    after = await till.audit()
    assert (await till.orders(), after.ledger) == (money, before.ledger)
    assert await till.emitted() == told
    return orders


def could_pay(story: Sequence[str]) -> bool:
    return story.index(REQUESTED) < story.index(PAY) < story.index(CANCELLED)


@pytest.mark.parametrize(
    ("card", "worst"),
    [
        (Card.VISA, "captured"),
        (Card.LOST_ANSWER, "captured"),
        (Card.CAPTURE_FAILS, "capture_failed"),
        (Card.DECLINED, "declined"),
    ],
)
async def test_a_cancelled_orders_money_always_goes_back(till: Till, card: str, worst: str) -> None:
    """All 720 orders of the six steps with a good card on SQLite; else the 120 that can begin a payment."""
    everything = card == Card.VISA and till.runtime.store.dialect == "sqlite"
    stories = [story for story in permutations(STEPS) if everything or could_pay(story)]

    orders = await live_all(till, stories, card)

    figures = {figure.order_id: figure for figure in await till.orders()}
    told: dict[UUID | None, Counter[str]] = {order.order_id: Counter() for order in orders}
    for event in await till.emitted():
        told[event.conversation][event.wire_name.split(".")[1]] += 1
    for story, order in zip(stories, orders, strict=True):
        figure = figures[order.order_id]
        assert figure.state == "cancelled", story
        assert figure.held == 0, story
        assert figure.captured == figure.refunded, story
        assert figure.captures <= 1, story
        names = told[order.order_id]
        assert names["captured"] == names["refunded"] == figure.captures, story
    captures, captured, refunded = till.taken()
    assert captured == refunded
    assert any(names[worst] for names in told.values()), "no story went as far as it should, so nothing is proved"
    assert captures == sum(figure.captures for figure in figures.values())
    assert all(intent.captures <= 1 for intent in till.provider.intents)
    assert await till.pending() == []
    assert await till.balance(Account.PROVIDER_BALANCE) == 0
    assert await till.balance(Account.CARD_HOLDS) == 0


async def test_a_confirmed_order_is_captured_once_whatever_came_first(till: Till) -> None:
    stories = list(permutations((REQUESTED, PAY, ANSWERED, CONFIRMED, CAPTURE_ANSWERED)))

    orders = await live_all(till, stories, Card.VISA)

    figures = {figure.order_id: figure for figure in await till.orders()}
    for story, order in zip(stories, orders, strict=True):
        figure = figures[order.order_id]
        paid = story.index(REQUESTED) < story.index(PAY) < story.index(CONFIRMED)
        assert figure.captured == (order.amount.amount if paid else 0), story
        assert figure.captures == figure.attempts == int(paid), story
        assert figure.held == figure.refunded == 0, story


async def test_cancelled_before_requested_leaves_nothing_to_pay(till: Till) -> None:
    order = AnOrder()
    await till.send(order.cancelled())
    with pytest.raises(DomainError, match="no such order"):
        await till.begin(order)

    await till.send(order.requested(till.clock))

    with pytest.raises(DomainError) as refused:
        await till.begin(order)
    assert refused.value.code == "order-not-payable"


async def test_cancelled_while_the_customer_authenticates(till: Till) -> None:
    order = await till.an_authorized(Card.AUTHENTICATION_REQUIRED)
    assert (await till.payment(order.payment_id)).state is PaymentState.REQUIRES_ACTION

    await till.send(order.cancelled())
    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.VOIDED
    assert await till.emitted_names(order) == ["voided"]


async def test_an_order_confirmed_on_a_payment_we_do_not_have_is_told_so_and_captures_nothing(till: Till) -> None:
    """Our row is committed before anybody hears of a payment, so it was lost, and the order would wait for ever."""
    order = await till.an_authorized()
    elsewhere = AnOrder(order_id=order.order_id)

    for _ in range(2):
        await till.send(elsewhere.confirmed())
    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.VOIDED, "it will never be taken"
    assert await till.emitted_names(order) == ["authorized", "capture_failed", "voided"]
    failed = (await till.emitted(order))[1]
    assert isinstance(failed, PaymentCaptureFailed)
    assert (failed.payment_id, failed.code) == (elsewhere.payment_id, "unknown_payment")


async def test_an_order_confirmed_on_a_hold_that_is_gone_is_told_so(till: Till) -> None:
    """The provider let it go; order_svc may hear of that before it hears of the hold, and confirm all the same."""
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    await till.provider.void("expired", intent.reference)
    await till.runtime.writer.run_now(
        lambda uow: take_notice(TakeNotice("simulated", Notice("e", "t", True, order.payment_id)), uow)
    )
    await till.work_off()

    await till.send(order.confirmed())

    assert await till.emitted_names(order) == ["authorized", "voided", "capture_failed"]


async def test_the_same_event_twice_is_one(till: Till) -> None:
    order = await till.an_authorized()
    id_ = order.payment_id
    await till.send(order.confirmed(), id=id_)
    await till.send(order.confirmed(), id=id_)
    await till.work_off()

    assert await till.emitted_names(order) == ["authorized", "captured"]
