"""What any payment provider has to do to be used here. An adapter joins by a name in `PROVIDERS` and its cards."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from contracts.money import Money
from payment_svc.providers.cards import Card
from payment_svc.providers.port import (
    Authorized,
    AuthorizeRequest,
    Captured,
    Declined,
    IntentStatus,
    KeyReusedError,
    Listed,
    Missing,
    Page,
    PaymentProvider,
    Refunded,
    Refused,
    RequiresAction,
    Snapshot,
    Unknown,
    Voided,
)
from payment_svc.providers.remote import RemoteProvider
from payment_svc.providers.simulated import SimulatedProvider
from payment_svc.providers.simulator.app import Simulator
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings

TEN = Money(amount=1000, currency="EUR")

KEY = "the-key-of-this-merchant"


def remote() -> RemoteProvider:
    """The adapter over HTTP, at the simulator in this process."""
    settings = SimulatorSettings(database=":memory:", key=SecretStr(KEY))
    house = Simulator(settings, FaultSettings(slow_seconds=0.0))
    return RemoteProvider("http://provider", KEY, transport=httpx.ASGITransport(house.door))


PROVIDERS: dict[str, Callable[[], PaymentProvider]] = {
    "simulated": lambda: SimulatedProvider(slow_seconds=0.0),
    "remote": remote,
}


@pytest.fixture(params=PROVIDERS)
async def psp(request: pytest.FixtureRequest) -> AsyncIterator[PaymentProvider]:
    provider = PROVIDERS[request.param]()
    yield provider
    await provider.close()


def a_request(method: str = "pm_card_visa", amount: Money = TEN) -> AuthorizeRequest:
    return AuthorizeRequest(uuid4(), uuid4(), amount, method)


def a_key() -> str:
    return f"test:{uuid4()}"


async def authorized(psp: PaymentProvider) -> str:
    result = await psp.authorize(a_key(), a_request())
    assert isinstance(result, Authorized)
    return result.reference


async def captured(psp: PaymentProvider) -> str:
    reference = await authorized(psp)
    assert await psp.capture(a_key(), reference, TEN) == Captured()
    return reference


async def status(psp: PaymentProvider, reference: str) -> tuple[IntentStatus, int, int]:
    snapshot = await psp.retrieve(reference)
    assert isinstance(snapshot, Snapshot)
    return snapshot.status, snapshot.captured, snapshot.refunded


async def test_a_hold_takes_nothing(psp: PaymentProvider) -> None:
    reference = await authorized(psp)

    assert await status(psp, reference) == (IntentStatus.AUTHORIZED, 0, 0)


@pytest.mark.parametrize(
    ("method", "code"),
    [("pm_card_chargeDeclined", "card_declined"), ("pm_card_insufficientFunds", "insufficient_funds")],
)
async def test_a_decline_is_an_answer_with_a_code(psp: PaymentProvider, method: str, code: str) -> None:
    result = await psp.authorize(a_key(), a_request(method))

    assert isinstance(result, Declined)
    assert result.code == code


async def test_authentication_then_confirmation(psp: PaymentProvider) -> None:
    result = await psp.authorize(a_key(), a_request("pm_card_authenticationRequired"))

    assert isinstance(result, RequiresAction)
    assert await status(psp, result.reference) == (IntentStatus.REQUIRES_ACTION, 0, 0)
    assert await psp.confirm(a_key(), result.reference) == Authorized(result.reference)


async def test_the_same_key_is_one_effect_and_one_answer(psp: PaymentProvider) -> None:
    key, request = a_key(), a_request()

    first, second = await psp.authorize(key, request), await psp.authorize(key, request)

    assert first == second
    assert isinstance(first, Authorized)
    capture = a_key()
    assert await psp.capture(capture, first.reference, TEN) == await psp.capture(capture, first.reference, TEN)
    refund, part = a_key(), Money(amount=600, currency="EUR")
    assert await psp.refund(refund, first.reference, part) == await psp.refund(refund, first.reference, part)
    assert await status(psp, first.reference) == (IntentStatus.CAPTURED, 1000, 600)


async def test_the_same_key_for_another_request_is_refused(psp: PaymentProvider) -> None:
    key = a_key()
    await psp.authorize(key, a_request())

    with pytest.raises(KeyReusedError):
        await psp.authorize(key, a_request(amount=Money(amount=1, currency="EUR")))


async def test_captured_and_voided_already_is_success(psp: PaymentProvider) -> None:
    taken, let_go = await captured(psp), await authorized(psp)

    assert await psp.capture(a_key(), taken, TEN) == Captured()
    assert await psp.void(a_key(), let_go) == Voided()
    assert await psp.void(a_key(), let_go) == Voided()


async def test_a_void_that_comes_too_late_says_so(psp: PaymentProvider) -> None:
    assert await psp.void(a_key(), await captured(psp)) == Captured()


async def test_no_capture_after_a_void(psp: PaymentProvider) -> None:
    reference = await authorized(psp)
    await psp.void(a_key(), reference)

    assert isinstance(await psp.capture(a_key(), reference, TEN), Refused)


async def test_refunds_in_parts_and_never_beyond(psp: PaymentProvider) -> None:
    reference = await captured(psp)

    for _ in range(2):
        assert await psp.refund(a_key(), reference, Money(amount=400, currency="EUR")) == Refunded()
    assert isinstance(await psp.refund(a_key(), reference, Money(amount=201, currency="EUR")), Refused)
    assert await status(psp, reference) == (IntentStatus.CAPTURED, 1000, 800)


async def test_nothing_to_refund_before_a_capture(psp: PaymentProvider) -> None:
    assert isinstance(await psp.refund(a_key(), await authorized(psp), TEN), Refused)


@pytest.mark.parametrize("reference", ["no_such_thing", "pi_0_1000_EUR_abcdef"])
async def test_of_an_unknown_reference_nothing_is_held_and_nothing_can_be_taken(
    psp: PaymentProvider, reference: str
) -> None:
    assert isinstance(await psp.retrieve(reference), Missing)
    assert isinstance(await psp.capture(a_key(), reference, TEN), Refused)
    assert isinstance(await psp.refund(a_key(), reference, TEN), Refused)
    assert isinstance(await psp.confirm(a_key(), reference), Declined)
    assert await psp.void(a_key(), reference) == Voided()


async def test_a_failing_authentication_and_a_failing_capture(psp: PaymentProvider) -> None:
    asked = await psp.authorize(a_key(), a_request(Card.AUTHENTICATION_FAILS))
    assert isinstance(asked, RequiresAction)
    assert await psp.confirm(a_key(), asked.reference) == Declined("authentication_failed", asked.reference)
    held = await psp.authorize(a_key(), a_request(Card.CAPTURE_FAILS))
    assert isinstance(held, Authorized)
    assert await psp.capture(a_key(), held.reference, TEN) == Refused("capture_failed")
    assert await status(psp, held.reference) == (IntentStatus.VOIDED, 0, 0)


async def test_a_lost_answer_is_unknown_once_and_then_the_truth(psp: PaymentProvider) -> None:
    key, request = a_key(), a_request(Card.LOST_ANSWER)

    first, second = await psp.authorize(key, request), await psp.authorize(key, request)

    assert isinstance(first, Unknown)
    assert isinstance(second, Authorized)
    assert [listed.snapshot.reference for listed in await everything(psp)] == [second.reference]


async def everything(psp: PaymentProvider, limit: int = 2) -> list[Listed]:
    """Its books, page by page."""
    found: list[Listed] = []
    cursor, more = "", True
    while more:
        page = await psp.list_since(cursor, limit)
        assert isinstance(page, Page)
        assert len(page.items) <= limit
        found += page.items
        cursor, more = page.cursor, page.more
    return found


async def test_its_books_name_our_ids_and_sums(psp: PaymentProvider) -> None:
    request = a_request()
    held = await psp.authorize(a_key(), request)
    assert isinstance(held, Authorized)
    await psp.capture(a_key(), held.reference, TEN)
    await psp.refund(a_key(), held.reference, Money(amount=300, currency="EUR"))

    (listed,) = await everything(psp)

    assert listed == Listed(
        Snapshot(held.reference, IntentStatus.CAPTURED, TEN, captured=1000, refunded=300),
        request.payment_id,
        request.order_id,
        captures=1,
    )


async def test_its_books_are_read_on_from_where_they_ended(psp: PaymentProvider) -> None:
    references = [await authorized(psp) for _ in range(5)]
    assert [listed.snapshot.reference for listed in await everything(psp)] == references
    page = await psp.list_since("", 100)
    assert isinstance(page, Page)

    await psp.void(a_key(), references[1])

    changed = await psp.list_since(page.cursor, 100)
    assert isinstance(changed, Page)
    assert [(i.snapshot.reference, i.snapshot.status) for i in changed.items] == [(references[1], IntentStatus.VOIDED)]
    assert await psp.list_since(changed.cursor, 100) == Page((), changed.cursor, more=False)


async def test_what_a_key_did_can_be_asked_for(psp: PaymentProvider) -> None:
    key, refund = a_key(), a_key()
    held = await psp.authorize(key, a_request())
    assert isinstance(held, Authorized)
    await psp.capture(a_key(), held.reference, TEN)
    await psp.refund(refund, held.reference, TEN)

    assert await psp.find(key) == held
    assert await psp.find(refund) == Refunded()
    assert isinstance(await psp.find(a_key()), Missing)


async def test_what_is_a_payment_method(psp: PaymentProvider) -> None:
    assert psp.accepts("pm_card_visa")
    assert not psp.accepts("not a method")


class TestSimulatedOnly:
    """What only the simulated one promises."""

    async def test_what_another_process_captured_can_be_sent_back(self) -> None:
        """With two processes of payment_svc: each step of a payment may be another's."""
        one, other = SimulatedProvider(alone=False), SimulatedProvider(alone=False)
        reference = await authorized(one)
        assert await other.capture(a_key(), reference, TEN) == Captured()
        assert await one.refund(a_key(), reference, TEN) == Refunded()
        assert isinstance(await one.refund(a_key(), reference, TEN), Refused)

    async def test_a_restart_changes_no_answer(self) -> None:
        before, after = SimulatedProvider(), SimulatedProvider()
        key, request = a_key(), a_request()

        first = await before.authorize(key, request)

        assert isinstance(first, Authorized)
        assert await after.authorize(key, request) == first
        fresh = SimulatedProvider()
        assert await fresh.capture(a_key(), first.reference, TEN) == Captured()
        assert await SimulatedProvider().refund(a_key(), first.reference, TEN) == Refunded()

    async def test_its_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("payment_svc.providers.simulated.MAX_REMEMBERED", 10)
        psp = SimulatedProvider()

        for _ in range(30):
            await psp.authorize(a_key(), a_request())

        assert len(psp.intents) == 10
