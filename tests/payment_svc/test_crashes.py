"""The process dies at a border, or the provider is silent: nothing is doubled, nothing lost, nothing guessed."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from chassis.failpoints import FailpointError
from chassis.idempotency import LEASE as KEY_LEASE
from chassis.idempotency import StoredResponse
from chassis.seedwork import DomainError
from payment_svc.commands import Begun, FinishPayment
from payment_svc.domain.ledger import Account
from payment_svc.domain.operation import LEASE, OperationKind
from payment_svc.domain.payment import PaymentState
from payment_svc.providers.cards import Card
from payment_svc.providers.port import Unknown
from payment_svc.results import finish_payment
from tests.payment_svc.conftest import OpenTill
from tests.payment_svc.till import AnOrder, Till
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive


async def sweep(till: Till) -> int:
    """One sweep, and what it started ended."""
    await till.runtime.courier.start()
    found = await till.runtime.courier.sweep()
    await wait_until(lambda: till.runtime.courier.busy == 0)
    return found


@pytest.mark.parametrize("point", ["provider.before_call", "provider.after_call"])
async def test_dying_around_the_authorisation(open_till: OpenTill, point: str) -> None:
    order = AnOrder()
    async with open_till(f"payment.{point}:raise") as dying:
        await dying.send(order.requested(dying.clock))
        with pytest.raises(FailpointError):
            await dying.pay(order)

    async with open_till() as till:
        assert await sweep(till) == 0, "the lease keeps others away from a call that may be under way"
        till.clock.advance(LEASE)
        assert await sweep(till) == 1
        assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED
        assert len(till.provider.intents) == 1
        await till.send(order.confirmed())
        await till.work_off()
        assert till.taken() == (1, 1999, 0)


@pytest.mark.parametrize("point", ["provider.before_call", "provider.after_call"])
@pytest.mark.parametrize("kind", [OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND])
async def test_dying_around_a_later_call(open_till: OpenTill, point: str, kind: OperationKind) -> None:
    events: dict[OperationKind, Callable[[Till], Coroutine[Any, Any, AnOrder]]] = {
        OperationKind.CAPTURE: _confirmed,
        OperationKind.VOID: _cancelled,
        OperationKind.REFUND: _cancelled_after_capture,
    }
    async with open_till() as healthy:
        order = await events[kind](healthy)
        (operation,) = await healthy.pending(order)
        assert operation.kind is kind
    async with open_till(f"payment.{point}:raise") as dying:
        with pytest.raises(FailpointError):
            await dying.runtime.courier.run(operation)

    async with open_till() as till:
        till.clock.advance(LEASE)
        assert await sweep(till) == 1
        assert await till.pending() == []
        figures = await till.figures(order)
        assert figures.held == 0
        assert till.taken() == (figures.captures, figures.captured, figures.refunded)
        assert (await till.emitted_names(order))[-1] == {"capture": "captured", "void": "voided"}.get(kind, "refunded")


async def _confirmed(till: Till) -> AnOrder:
    order = await till.an_authorized()
    await till.send(order.confirmed())
    return order


async def _cancelled(till: Till) -> AnOrder:
    order = await till.an_authorized()
    await till.send(order.cancelled())
    return order


async def _cancelled_after_capture(till: Till) -> AnOrder:
    order = await till.a_captured()
    await till.send(order.cancelled())
    return order


async def test_the_clients_retry_goes_on_and_never_begins_again(open_till: OpenTill) -> None:
    order = AnOrder()
    async with open_till() as dying:
        await dying.send(order.requested(dying.clock))
        await dying.begin(order, key="the-key")

    async with open_till() as till:
        again = AnOrder(order.order_id, order.user_id)  # a retry would make a payment of another id
        with pytest.raises(DomainError) as early:
            await till.begin(again, key="the-key")
        assert early.value.code == "idempotency-in-progress"
        till.clock.advance(KEY_LEASE)

        resumed = await till.begin(again, key="the-key")

        assert isinstance(resumed, Begun)
        assert resumed.subject_id == order.payment_id
        assert resumed.operation is not None
        answered = await till.runtime.courier.call(resumed.operation)
        finish = FinishPayment(
            resumed.subject_id,
            answered,
            till.request(order, "the-key"),
            lambda p: StoredResponse(201, p.state.encode()),
        )
        await till.runtime.writer.run_now(lambda uow: finish_payment(finish, uow))
        replay = await till.begin(again, key="the-key")
        assert isinstance(replay, StoredResponse)
        assert (replay.body, replay.replayed) == (b"authorized", True)
        assert (await till.figures(order)).attempts == 1
        assert len(till.provider.intents) == 1


async def test_the_sweep_was_faster_than_the_clients_retry(open_till: OpenTill) -> None:
    order = AnOrder()
    async with open_till() as dying:
        await dying.send(order.requested(dying.clock))
        await dying.begin(order, key="the-key")

    async with open_till() as till:
        till.clock.advance(KEY_LEASE)
        await sweep(till)

        resumed = await till.begin(order, key="the-key")

        assert resumed == Begun(order.payment_id, None)


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(till: Till) -> None:
    order = await till.an_authorized(Card.LOST_ANSWER)
    (operation,) = await till.pending(order)
    assert (await till.payment(order.payment_id)).state is PaymentState.PENDING
    assert (operation.attempts, operation.last_error) == (1, "the answer was lost on the way")

    assert await sweep(till) == 0
    till.clock.advance(timedelta(seconds=1))
    assert await sweep(till) == 1

    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED
    assert len(till.provider.intents) == 1
    assert await till.emitted_names(order) == ["authorized"]


async def test_a_silent_provider_is_asked_ever_more_rarely(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await till.an_authorized(Card.LOST_ANSWER)

    async def silent(*_: object) -> Unknown:
        return Unknown("still nothing")

    monkeypatch.setattr(till.provider, "authorize", silent)
    pauses: list[float] = []
    for _ in range(8):
        await till.answer(order)
        (operation,) = await till.pending(order)
        pauses.append((operation.next_at - till.clock.now()).total_seconds())

    assert pauses == [2, 5, 15, 60, 300, 300, 300, 300]
    assert (await till.payment(order.payment_id)).state is PaymentState.PENDING


async def test_a_bug_in_an_adapter_is_an_unknown_outcome(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(till.provider, "authorize", broken)
        order = await till.an_authorized()
    (operation,) = await till.pending(order)
    assert operation.last_error == "ZeroDivisionError in the provider's adapter"

    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED


async def test_a_provider_that_hangs_is_given_up_and_asked_again(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till.runtime.courier, "_call_seconds", 0.01)

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(till.provider, "authorize", hang)
        order = await till.an_authorized()

    (operation,) = await till.pending(order)
    assert operation.last_error == "no answer within 0.01 s"


async def test_two_instances_call_at_once_and_it_happens_once(open_till: OpenTill) -> None:
    async with open_till() as one, open_till() as other:
        order = await one.an_authorized()
        await one.send(order.confirmed())
        (operation,) = await one.pending(order)

        await asyncio.gather(one.runtime.courier.run(operation), other.runtime.courier.run(operation))

        assert one.taken() == (1, 1999, 0)
        assert await one.emitted_names(order) == ["authorized", "captured"]
        assert await one.balance(Account.PROVIDER_BALANCE) == 1999


async def test_two_instances_refund_at_once_and_it_happens_once(open_till: OpenTill) -> None:
    async with open_till() as one, open_till() as other:
        order = await _cancelled_after_capture(one)
        (operation,) = await one.pending(order)

        await asyncio.gather(one.runtime.courier.run(operation), other.runtime.courier.run(operation))

        assert one.taken() == (1, 1999, 1999)
        assert await one.emitted_names(order) == ["authorized", "captured", "refunded"]


async def test_twenty_attempts_at_once_from_two_instances_make_one_payment(open_till: OpenTill) -> None:
    async with open_till() as one, open_till() as other:
        order = AnOrder()
        await one.send(order.requested(one.clock))
        attempts = [AnOrder(order.order_id, order.user_id) for _ in range(20)]

        results = await asyncio.gather(
            *((one if i % 2 else other).begin(attempt) for i, attempt in enumerate(attempts)), return_exceptions=True
        )

        begun = [result for result in results if isinstance(result, Begun)]
        refused = [result for result in results if isinstance(result, DomainError)]
        assert len(begun) == 1
        assert {error.code for error in refused} == {"payment-in-progress"}
        assert len(refused) == 19


async def test_a_refused_automatic_refund_waits_for_an_operator(till: Till) -> None:
    order = await till.a_captured()
    (intent,) = till.provider.intents
    intent.refunded = 1999  # somebody refunded it by hand, at the provider
    await till.send(order.cancelled())
    await till.work_off()

    report = await till.audit()
    assert len(report.refunds_failed) == 1
    await till.send(order.cancelled())
    assert await till.pending() == [], "the provider would refuse again"


async def test_the_provider_captured_while_we_let_go(till: Till) -> None:
    """Its word about money beats ours: what was taken for a cancelled order is given back, once."""
    order = await till.an_authorized()
    await till.send(order.cancelled())
    (intent,) = till.provider.intents
    await till.provider.capture("somebody:else", intent.reference, order.amount)

    await till.work_off()
    await till.send(order.cancelled())
    await till.work_off()

    assert till.taken() == (1, 1999, 1999)
    assert await till.emitted_names(order) == ["authorized", "captured", "refunded"]
