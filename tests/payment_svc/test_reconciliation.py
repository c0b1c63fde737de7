"""The provider's books and ours drift apart, each way they can: what is mended, how often, and what people are told."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from payment_svc.courier import KEYS_LIVE
from payment_svc.domain.discrepancy import LOOKS, OLD_HOLD
from payment_svc.domain.operation import OperationKind
from payment_svc.domain.payment import PaymentState
from payment_svc.provider_books import DiscrepancyAnswer, unsettled
from payment_svc.providers.cards import Card
from payment_svc.providers.port import Authorized, AuthorizeRequest, IntentStatus, Missing, Unknown, Voided
from tests.payment_svc.till import AnOrder, Till
from tests.support.harness import Harness


async def reconcile(till: Till, looks: int = LOOKS + 2) -> list[DiscrepancyAnswer]:
    """Read the provider's books, and look as often as the sweeps would in a quarter of an hour; what is left."""
    await till.runtime.reconciler.read_books()
    for _ in range(looks):
        till.clock.advance(timedelta(minutes=3))
        await till.runtime.reconciler.look()
        await till.work_off()
    return await unsettled(till.runtime.reader)


async def elsewhere(till: Till, order: AnOrder, payment_id: UUID | None = None) -> str:
    """A hold at the provider that our store knows nothing of; its reference."""
    request = AuthorizeRequest(payment_id or uuid4(), order.order_id, order.amount, Card.VISA)
    held = await till.provider.authorize(f"lost:{uuid4()}", request)
    assert isinstance(held, Authorized)
    return held.reference


async def test_books_that_agree_are_read_once_and_nothing_is_asked(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    await till.a_captured()
    await till.an_authorized(Card.DECLINED)
    cancelled = await till.an_authorized()
    await till.send(cancelled.cancelled())
    await till.work_off()

    async def never(_: str) -> Unknown:
        raise AssertionError("nothing differs")

    monkeypatch.setattr(till.provider, "retrieve", never)
    assert await reconcile(till) == []
    cursors: list[str] = []
    books = till.provider.list_since

    async def remember(cursor: str, limit: int) -> object:
        cursors.append(cursor)
        return await books(cursor, limit)

    monkeypatch.setattr(till.provider, "list_since", remember)
    await till.runtime.reconciler.read_books()
    assert cursors[0] != "", "it goes on where it stopped"


async def test_a_capture_we_never_heard_of_is_followed(till: Till) -> None:
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    await till.provider.capture("somebody:else", intent.reference, order.amount)

    assert await reconcile(till) == []

    figures = await till.figures(order)
    assert (figures.payment_state, figures.captured) == ("captured", 1999)
    assert await till.emitted_names(order) == ["authorized", "captured"]


async def test_captured_for_a_cancelled_order_goes_back_once(till: Till) -> None:
    order = await till.an_authorized()
    await till.send(order.cancelled())
    await till.work_off()
    (intent,) = till.provider.intents
    intent.status, intent.captured, intent.captures = IntentStatus.CAPTURED, 1999, 1  # the void was a lie

    assert await reconcile(till) == []
    assert await reconcile(till) == []

    assert till.taken() == (1, 1999, 1999)
    assert await till.emitted_names(order) == ["authorized", "voided", "captured", "refunded"]


async def test_declined_but_captured(till: Till) -> None:
    """Its word about money beats its own earlier word: the customer has paid."""
    order = await till.an_authorized(Card.DECLINED)
    (intent,) = till.provider.intents
    intent.status, intent.captured, intent.captures = IntentStatus.CAPTURED, 1999, 1

    assert await reconcile(till) == []

    assert (await till.figures(order)).captured == 1999
    assert await till.emitted_names(order) == ["declined", "captured"]


async def test_declined_but_held_is_let_go_once(till: Till) -> None:
    order = await till.an_authorized(Card.DECLINED)
    (intent,) = till.provider.intents
    intent.status = IntentStatus.AUTHORIZED

    assert await reconcile(till) == []

    assert intent.status is IntentStatus.VOIDED
    assert (await till.payment(order.payment_id)).state is PaymentState.DECLINED
    assert await till.emitted_names(order) == ["declined"]


async def test_a_hold_the_provider_dropped_is_told(till: Till) -> None:
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    await till.provider.void("expired", intent.reference)

    assert await reconcile(till) == []

    assert await till.emitted_names(order) == ["authorized", "voided"]


async def test_refunded_by_hand_at_the_provider(till: Till) -> None:
    order = await till.a_captured()
    (intent,) = till.provider.intents
    await till.provider.refund("by:hand", intent.reference, order.amount.model_copy(update={"amount": 500}))

    assert await reconcile(till) == []

    assert (await till.figures(order)).refunded == 500
    assert await till.emitted_names(order) == ["authorized", "captured", "refunded"]
    await till.send(order.cancelled())
    await till.work_off()
    assert till.taken() == (1, 1999, 1999)


async def test_a_refused_refund_that_was_made_by_hand_ends_its_order(till: Till) -> None:
    order = await till.a_captured()
    (intent,) = till.provider.intents
    await till.provider.refund("by:hand", intent.reference, order.amount)
    await till.send(order.cancelled())
    await till.work_off()
    assert len((await till.audit()).refunds_failed) == 1

    assert await reconcile(till) == []

    assert (await till.figures(order)).refunded == 1999
    assert (await till.emitted_names(order))[-1] == "refunded"


@pytest.mark.parametrize("captured", [False, True])
async def test_a_payment_lost_with_our_store_is_let_go_when_its_order_is_cancelled(till: Till, captured: bool) -> None:
    order = AnOrder()
    await till.send(order.requested(till.clock))
    reference = await elsewhere(till, order, order.payment_id)
    if captured:
        await till.provider.capture("lost:capture", reference, order.amount)

    (waiting,) = await reconcile(till)
    assert (waiting.difference, waiting.state) == ("stray", "open"), "an order that lives may still be paid by it"
    assert await till.emitted() == []
    await till.send(order.cancelled())
    till.clock.advance(timedelta(minutes=10))
    assert await reconcile(till) == []

    (intent,) = till.provider.intents
    assert (intent.status, intent.captured) == (
        (IntentStatus.CAPTURED, intent.refunded) if captured else (IntentStatus.VOIDED, 0)
    )
    names = await till.emitted_names(order)
    assert names == (["authorized", "captured", "refunded"] if captured else ["authorized", "voided"])
    assert (await till.figures(order)).held == 0


async def test_a_second_hold_for_the_same_payment_is_let_go_and_the_first_one_stays(till: Till) -> None:
    """The provider forgot a key and did the same thing twice."""
    order = await till.an_authorized()
    reference = await elsewhere(till, order, order.payment_id)

    assert await reconcile(till) == []

    states = {intent.reference: intent.status for intent in till.provider.intents}
    assert states.pop(reference) is IntentStatus.VOIDED
    assert list(states.values()) == [IntentStatus.AUTHORIZED]
    await till.send(order.confirmed())
    await till.work_off()
    assert till.taken() == (1, 1999, 0)
    assert await till.emitted_names(order) == ["authorized", "captured"]


async def test_a_second_capture_of_an_order_is_for_people(till: Till) -> None:
    """Our books take one capture of an order; what was taken beside it is never forgotten and never guessed about."""
    order = AnOrder()
    await till.send(order.requested(till.clock))
    await till.pay(order, Card.DECLINED)
    first = till.provider.intents[0]
    again = AnOrder(order.order_id, order.user_id)
    await till.pay(again)
    await till.send(again.confirmed())
    await till.work_off()
    first.status, first.captured = IntentStatus.CAPTURED, 1999

    (left,) = await reconcile(till)

    assert (left.reference, left.difference, left.state) == (first.reference, "captured", "open")
    assert (await till.figures(order)).captures == 1


async def test_a_capture_that_was_a_lie_is_for_people(till: Till) -> None:
    await till.a_captured()
    (intent,) = till.provider.intents
    intent.status, intent.captured = IntentStatus.AUTHORIZED, 0

    (left,) = await reconcile(till)

    assert (left.difference, left.state) == ("captured", "open")
    assert left.detail == "provider: authorized 1999 -0; here: captured 1999 -0"


async def test_a_void_that_was_a_lie_is_asked_for_once_and_then_for_people(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await till.an_authorized()
    reference = await elsewhere(till, order, order.payment_id)
    asked: list[str] = []

    async def lie(key: str, _: str) -> Voided:
        asked.append(key)
        return Voided()

    monkeypatch.setattr(till.provider, "void", lie)
    (left,) = await reconcile(till)

    assert asked == [f"stray:{reference}:void"]
    assert (left.reference, left.difference, left.state) == (reference, "stray", "open")


async def test_money_of_nobody_is_for_people_and_told_once(till: Till) -> None:
    await elsewhere(till, AnOrder())
    await till.runtime.reconciler.read_books()
    told = []

    for _ in range(LOOKS + 3):
        till.clock.advance(timedelta(minutes=11))
        told.append(await till.runtime.reconciler.look())

    assert told == [0] * (LOOKS - 1) + [1] + [0] * 3
    (left,) = await unsettled(till.runtime.reader)
    assert (left.difference, left.state, left.looks) == ("stray", "open", LOOKS + 3)
    assert left.detail == "provider: authorized 1999 -0; here: nothing"


async def test_an_open_discrepancy_is_settled_when_the_provider_is_set_right(till: Till) -> None:
    reference = await elsewhere(till, AnOrder())
    assert len(await reconcile(till)) == 1

    await till.provider.void("by:hand", reference)
    till.clock.advance(timedelta(minutes=10))

    assert await reconcile(till) == []


async def test_another_amount_is_never_believed(till: Till) -> None:
    order = await till.an_authorized()
    (intent,) = till.provider.intents
    intent.amount = intent.amount * 2

    (left,) = await reconcile(till)

    assert (left.difference, left.state) == ("amount", "open")
    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED


async def test_a_hold_older_than_any_order_is_asked_about(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its books never say what is not in them: a payment that is missing there is only found by asking."""
    order = await till.an_authorized()
    assert await reconcile(till) == []

    async def missing(_: str) -> Missing:
        return Missing()

    monkeypatch.setattr(till.provider, "retrieve", missing)
    till.clock.advance(OLD_HOLD)
    (left,) = await reconcile(till)

    assert (left.difference, left.state, left.payment_id) == ("missing", "open", order.payment_id)


async def test_a_provider_that_does_not_answer_proves_nothing(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    await elsewhere(till, AnOrder())

    async def silent(*_: object) -> Unknown:
        return Unknown("silent")

    with monkeypatch.context() as patched:
        patched.setattr(till.provider, "retrieve", silent)
        (left,) = await reconcile(till, looks=6)
        assert (left.state, left.looks) == ("suspected", 0)
        patched.setattr(till.provider, "list_since", silent)
        assert await till.runtime.reconciler.read_books() == 0


async def test_what_is_in_motion_is_left_to_its_own_answer(till: Till) -> None:
    order = await till.an_authorized()
    await till.send(order.confirmed())
    (intent,) = till.provider.intents
    await till.provider.capture(f"pay:{order.payment_id}:capture", intent.reference, order.amount)
    await till.runtime.reconciler.read_books()
    till.clock.advance(timedelta(minutes=1))

    await till.runtime.reconciler.look()

    assert (await till.payment(order.payment_id)).state is PaymentState.CAPTURING
    assert await reconcile(till) == []


@pytest.mark.parametrize("kind", [OperationKind.AUTHORIZE, OperationKind.REFUND])
async def test_an_old_call_is_looked_up_before_it_is_made_again(
    till: Till, monkeypatch: pytest.MonkeyPatch, kind: OperationKind
) -> None:
    """The provider forgets keys after a day, and would do it once more; its records it keeps."""
    if kind is OperationKind.REFUND:
        order = await till.a_captured()
        await till.send(order.cancelled())
        (operation,) = await till.pending(order)
        await till.provider.refund(operation.id, operation.reference or "", operation.amount)  # its answer was lost
    else:
        order = await till.an_authorized(Card.LOST_ANSWER)
    before = till.taken()
    till.clock.advance(KEYS_LIVE + timedelta(seconds=1))

    async def once_more(*_: object) -> None:
        raise AssertionError("it would be done twice")

    monkeypatch.setattr(till.provider, kind.value, once_more)
    await till.work_off()

    assert till.taken() == before
    expected = PaymentState.REFUNDED if kind is OperationKind.REFUND else PaymentState.AUTHORIZED
    assert (await till.payment(order.payment_id)).state is expected


async def test_an_old_call_the_provider_never_got_is_made(till: Till) -> None:
    order = AnOrder()
    await till.send(order.requested(till.clock))
    await till.begin(order)
    till.clock.advance(KEYS_LIVE + timedelta(seconds=1))

    await till.work_off()

    assert (await till.payment(order.payment_id)).state is PaymentState.AUTHORIZED


async def test_operators_see_the_providers_books_page_by_page(shop: Harness) -> None:
    orders = [AnOrder() for _ in range(3)]
    for order in orders:
        user = shop.as_user(order.user_id)
        await shop.send(order.requested(shop.clock))
        body = {"order_id": str(order.order_id), "payment_method": Card.VISA}
        paid = await shop.http.post("/payments", json=body, headers={**user, "Idempotency-Key": "k"})
        order.payment_id = UUID(paid.json()["id"])
    seen: list[dict[str, object]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"cursor": cursor, "limit": "2"}
        answer = await shop.http.get("/payments/audit/provider", params=query, headers=shop.as_operator())
        seen += answer.json()["payments"]
        cursor = answer.json()["next_cursor"]

    assert [line["payment_id"] for line in seen] == [str(order.payment_id) for order in orders]
    line = {name: seen[0][name] for name in ("status", "amount", "currency", "captured", "refunded", "captures")}
    assert line == {
        "status": "authorized",
        "amount": 1999,
        "currency": "EUR",
        "captured": 0,
        "refunded": 0,
        "captures": 0,
    }
    forbidden = await shop.http.get("/payments/audit/provider", headers=shop.as_user())
    assert forbidden.status_code == 403


async def test_books_that_cannot_be_seen(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> Unknown:
        return Unknown("silent")

    monkeypatch.setattr(shop.app.state.runtime.courier.provider, "list_since", silent)

    answer = await shop.http.get("/payments/audit/provider", headers=shop.as_operator())

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/provider-unavailable")
