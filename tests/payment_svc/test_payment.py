"""One attempt: every state with every trigger, and what the ledger and the world learn of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from chassis.seedwork import IllegalTransitionError
from contracts.money import Money
from payment_svc.domain import ledger
from payment_svc.domain.errors import AlreadyPaidError, OrderNotPayableError, RefundExceedsCaptureError
from payment_svc.domain.ledger import Account, Posting
from payment_svc.domain.payable import Payable, PayableState
from payment_svc.domain.payment import Payment, PaymentState
from payment_svc.domain.refund import Refund, RefundState

S = PaymentState
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EUR = "EUR"
REFUND = uuid4()


def euros(cents: int) -> Money:
    return Money(amount=cents, currency=EUR)


def a_payment(state: PaymentState = S.PENDING) -> Payment:
    holds = state in (S.AUTHORIZED, S.CAPTURING, S.VOIDING)
    taken = state in (S.CAPTURED, S.PARTIALLY_REFUNDED, S.REFUNDED)
    refunded = {S.PARTIALLY_REFUNDED: 400, S.REFUNDED: 1000}.get(state, 0)
    return Payment(
        uuid4(),
        order_id=uuid4(),
        user_id=uuid4(),
        amount=euros(1000),
        payment_method="pm_card_visa",
        created_at=NOW,
        state=state,
        held=1000 if holds else 0,
        captured=1000 if taken else 0,
        refunded=refunded,
    )


def refund_part(payment: Payment) -> None:
    payment.refunding += 100
    payment.refund(REFUND, euros(100))


TRIGGERS: dict[str, Callable[[Payment], None]] = {
    "require_action": lambda p: p.require_action("ref", {"type": "3ds"}),
    "resume": lambda p: p.resume(),
    "authorize": lambda p: p.authorize("ref"),
    "decline": lambda p: p.decline("card_declined"),
    "begin_capture": lambda p: p.begin_capture(),
    "capture": lambda p: p.capture(),
    "fail_capture": lambda p: p.fail_capture("expired"),
    "begin_void": lambda p: p.begin_void(),
    "void": lambda p: p.void("customer"),
    "refund_part": refund_part,
}

# Every move there is; every other pair is refused and changes nothing.
MOVES = {
    (S.PENDING, "require_action"): S.REQUIRES_ACTION,
    (S.PENDING, "authorize"): S.AUTHORIZED,
    (S.PENDING, "decline"): S.DECLINED,
    (S.REQUIRES_ACTION, "resume"): S.PENDING,
    (S.REQUIRES_ACTION, "authorize"): S.AUTHORIZED,
    (S.REQUIRES_ACTION, "decline"): S.DECLINED,
    (S.REQUIRES_ACTION, "begin_void"): S.VOIDING,
    (S.AUTHORIZED, "begin_capture"): S.CAPTURING,
    (S.AUTHORIZED, "capture"): S.CAPTURED,
    (S.AUTHORIZED, "begin_void"): S.VOIDING,
    (S.AUTHORIZED, "void"): S.VOIDED,
    (S.CAPTURING, "capture"): S.CAPTURED,
    (S.CAPTURING, "fail_capture"): S.CAPTURE_FAILED,
    (S.VOIDING, "void"): S.VOIDED,
    (S.VOIDING, "capture"): S.CAPTURED,
    (S.VOIDED, "capture"): S.CAPTURED,
    (S.DECLINED, "capture"): S.CAPTURED,
    (S.CAPTURE_FAILED, "capture"): S.CAPTURED,
    (S.CAPTURED, "refund_part"): S.PARTIALLY_REFUNDED,
    (S.PARTIALLY_REFUNDED, "refund_part"): S.PARTIALLY_REFUNDED,
}


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("state", PaymentState)
def test_every_state_with_every_trigger(state: PaymentState, trigger: str) -> None:
    payment = a_payment(state)

    if (state, trigger) in MOVES:
        TRIGGERS[trigger](payment)

        assert payment.state is MOVES[state, trigger]
        return
    if trigger == "refund_part":
        payment.refunding -= 100  # what the trigger puts aside first
    with pytest.raises(IllegalTransitionError):
        TRIGGERS[trigger](payment)
    assert payment.state is state
    assert payment.pull_events() == []
    assert payment.pull_postings() == []


def facts(payment: Payment) -> list[tuple[str, int]]:
    return [(type(event).__name__, version) for event, version in payment.pull_events()]


def test_authorising_and_capturing_is_told_and_booked() -> None:
    payment = a_payment()

    payment.authorize("ref")
    payment.begin_capture()
    payment.capture()

    assert facts(payment) == [("PaymentAuthorized", 1), ("PaymentCaptured", 2)]
    assert payment.pull_postings() == [
        ledger.held(payment.id, euros(1000)),
        ledger.hold_ended(payment.id, euros(1000)),
        ledger.captured(payment.id, euros(1000)),
    ]
    assert (payment.held, payment.captured) == (0, 1000)


def test_a_void_books_the_end_of_the_hold_and_nothing_without_one() -> None:
    held, unauthenticated = a_payment(S.VOIDING), a_payment(S.REQUIRES_ACTION)

    held.void("customer")
    unauthenticated.begin_void()
    unauthenticated.void("customer")

    assert held.pull_postings() == [ledger.hold_ended(held.id, euros(1000))]
    assert unauthenticated.pull_postings() == []
    assert facts(held) == facts(unauthenticated) == [("PaymentVoided", 1)]


def test_a_failed_capture_ends_the_hold() -> None:
    payment = a_payment(S.CAPTURING)

    payment.fail_capture("expired")

    assert payment.held == payment.captured == 0
    assert facts(payment) == [("PaymentCaptureFailed", 1)]


def test_two_equal_partial_refunds_are_two_refunds() -> None:
    payment = a_payment(S.CAPTURED)

    for refund_id in (UUID(int=1), UUID(int=2)):
        payment.begin_refund(euros(500))
        payment.refund(refund_id, euros(500))

    assert payment.state is S.REFUNDED
    assert payment.refundable == euros(0)
    assert [posting.fact for posting in payment.pull_postings()] == [
        f"refund:{UUID(int=1)}:refunded",
        f"refund:{UUID(int=2)}:refunded",
    ]


@pytest.mark.parametrize(
    ("state", "amount"),
    [
        (S.CAPTURED, euros(1001)),
        (S.CAPTURED, euros(0)),
        (S.CAPTURED, Money(amount=5, currency="USD")),
        (S.PARTIALLY_REFUNDED, euros(601)),
        (S.REFUNDED, euros(1)),
        (S.AUTHORIZED, euros(1)),
        (S.DECLINED, euros(1)),
    ],
)
def test_no_more_is_refunded_than_was_captured(state: PaymentState, amount: Money) -> None:
    payment = a_payment(state)

    with pytest.raises(RefundExceedsCaptureError):
        payment.begin_refund(amount)

    assert payment.refunding == 0


def test_what_is_on_its_way_back_counts_as_gone() -> None:
    payment = a_payment(S.CAPTURED)
    payment.begin_refund(euros(700))

    with pytest.raises(RefundExceedsCaptureError):
        payment.begin_refund(euros(301))

    payment.fail_refund(euros(700))
    payment.begin_refund(euros(1000))


def test_a_refund_ends_once() -> None:
    refund = Refund(
        uuid4(),
        payment_id=uuid4(),
        order_id=uuid4(),
        amount=euros(5),
        reason="damaged",
        automatic=False,
        created_at=NOW,
    )
    refund.succeed()

    with pytest.raises(IllegalTransitionError):
        refund.fail("late")
    assert refund.state is RefundState.SUCCEEDED


@pytest.mark.parametrize(("amount", "credit"), [(0, Account.SALES), (5, Account.REFUNDS)])
def test_a_posting_moves_something_somewhere(amount: int, credit: Account) -> None:
    with pytest.raises(ValueError, match="positive amount between two accounts"):
        Posting("x", Account.REFUNDS, credit, euros(amount))


def test_a_payable_is_what_is_known_whatever_came_first() -> None:
    payment_id, user_id = uuid4(), uuid4()
    payable = Payable(uuid4())
    assert payable.state is PayableState.OPEN
    with pytest.raises(OrderNotPayableError):
        payable.amount_due(NOW)

    payable.request(user_id, euros(1000), NOW)
    assert payable.amount_due(NOW) == euros(1000)
    payable.request(uuid4(), euros(1), NOW)
    assert payable.amount_due(NOW) == euros(1000)
    assert payable.belongs_to(user_id)

    payable.confirm(payment_id)
    payable.confirm(uuid4())
    assert payable.confirmed_payment_id == payment_id
    with pytest.raises(AlreadyPaidError):
        payable.amount_due(NOW)

    payable.cancel("customer")
    payable.cancel("later")
    assert (payable.state, payable.cancel_reason) == (PayableState.CANCELLED, "customer")
    with pytest.raises(OrderNotPayableError):
        payable.amount_due(NOW)
