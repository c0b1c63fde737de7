"""The order's life: every (state, trigger) pair has exactly one written outcome."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from chassis.seedwork import IllegalTransitionError
from contracts.catalog import Shortage
from contracts.money import Money
from order_svc.domain.order import TRANSITIONS, AmountMismatchError, Order, OrderStatus
from tests.order_svc.builders import NOW, an_order

S = OrderStatus
LATER = NOW + timedelta(hours=1)
SHORTAGES = [Shortage(sku="BOOK-1", requested=2, available=1)]

TRIGGERS: Final[dict[str, Callable[[Order], None]]] = {
    "stock.reserved": lambda o: o.stock_reserved(LATER, timedelta(minutes=15)),
    "stock.rejected": lambda o: o.stock_rejected(LATER, SHORTAGES),
    "stock.released": lambda o: o.stock_released(LATER, "expired"),
    "stock.committed": lambda o: o.stock_committed(LATER),
    "payment.authorized": lambda o: o.payment_authorized(LATER, uuid4(), o.total),
    "payment.declined": lambda o: o.payment_declined(LATER, "card_declined"),
    "payment.captured": lambda o: o.payment_captured(LATER, uuid4(), o.total),
    "payment.capture_failed": lambda o: o.payment_capture_failed(LATER, o.payment_id or uuid4(), "expired"),
    "payment.voided": lambda o: o.payment_voided(LATER, o.payment_id or uuid4()),
    "payment.refunded in part": lambda o: o.payment_refunded(LATER, Money(amount=1, currency="EUR")),
    "payment.refunded in full": lambda o: o.payment_refunded(LATER, o.total),
    "customer cancels": lambda o: o.cancel(LATER),
    "deadline passes": lambda o: o.expire(LATER),
    "operator fulfils": lambda o: o.fulfil(LATER),
}

NOTE = "note"  # stays, and the timeline says so
REFUSED = "refused"  # stays, and whoever asked is told
NOTHING = "nothing"  # stays: asked for again, or nothing was due

# One row per state, one column per trigger in the order above. A status: moves there.
EXPECTED: Final[dict[OrderStatus, list[OrderStatus | str]]] = {
    S.PENDING: [
        S.AWAITING_PAYMENT, S.REJECTED, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, NOTE,
        S.CANCELLED, S.CANCELLED, REFUSED,
    ],
    S.AWAITING_PAYMENT: [
        NOTE, S.CANCELLED, S.CANCELLED, NOTE,
        S.CONFIRMED, NOTE, S.PAID, NOTE, NOTE, NOTE, NOTE,
        S.CANCELLED, S.CANCELLED, REFUSED,
    ],
    S.CONFIRMED: [
        NOTE, S.CANCELLED, NOTE, NOTE,
        NOTE, NOTE, S.PAID, S.CANCELLED, S.CANCELLED, NOTE, NOTE,
        REFUSED, NOTHING, REFUSED,
    ],
    S.PAID: [
        NOTE, S.REFUNDING, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, S.REFUNDED,
        S.REFUNDING, NOTHING, S.FULFILLED,
    ],
    S.FULFILLED: [
        NOTE, NOTE, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, S.REFUNDED,
        REFUSED, NOTHING, NOTHING,
    ],
    S.REJECTED: [
        NOTE, NOTE, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, NOTE,
        REFUSED, NOTHING, REFUSED,
    ],
    S.CANCELLED: [
        NOTE, NOTE, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, NOTE,
        NOTHING, NOTHING, REFUSED,
    ],
    S.REFUNDING: [
        NOTE, NOTE, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, S.REFUNDED,
        NOTHING, NOTHING, REFUSED,
    ],
    S.REFUNDED: [
        NOTE, NOTE, NOTE, NOTE,
        NOTE, NOTE, NOTE, NOTE, NOTE, NOTE, NOTE,
        NOTHING, NOTHING, REFUSED,
    ],
}  # fmt: skip

PUBLISHED: Final[dict[tuple[OrderStatus, OrderStatus], list[str]]] = {
    (S.PENDING, S.AWAITING_PAYMENT): ["order.payment_requested.v1"],
    (S.PENDING, S.REJECTED): ["order.rejected.v1"],
    (S.PENDING, S.CANCELLED): ["order.cancelled.v1"],
    (S.AWAITING_PAYMENT, S.CANCELLED): ["order.cancelled.v1"],
    (S.AWAITING_PAYMENT, S.CONFIRMED): ["order.confirmed.v1"],
    (S.AWAITING_PAYMENT, S.PAID): ["order.confirmed.v1", "order.paid.v1"],
    (S.CONFIRMED, S.PAID): ["order.paid.v1"],
    (S.CONFIRMED, S.CANCELLED): ["order.cancelled.v1"],
    (S.PAID, S.REFUNDING): ["order.cancelled.v1"],
    (S.PAID, S.REFUNDED): ["order.refunded.v1"],
    (S.PAID, S.FULFILLED): ["order.fulfilled.v1"],
    (S.FULFILLED, S.REFUNDED): ["order.refunded.v1"],
    (S.REFUNDING, S.REFUNDED): ["order.refunded.v1"],
}

PAIRS = [
    (status, trigger, expected)
    for status, row in EXPECTED.items()
    for trigger, expected in zip(TRIGGERS, row, strict=True)
]


def test_the_table_covers_every_state() -> None:
    assert set(EXPECTED) == set(OrderStatus)


@pytest.mark.parametrize(("status", "trigger", "expected"), PAIRS, ids=[f"{s.value}-{t}" for s, t, _ in PAIRS])
def test_every_trigger_in_every_state(status: OrderStatus, trigger: str, expected: OrderStatus | str) -> None:
    order = an_order(status)
    if expected == REFUSED:
        with pytest.raises(IllegalTransitionError):
            TRIGGERS[trigger](order)
    else:
        TRIGGERS[trigger](order)
    after = expected if isinstance(expected, OrderStatus) else status
    events = [event.wire_name for event, _ in order.pull_events()]
    entries = order.pull_entries()
    assert order.status is after
    assert events == PUBLISHED.get((status, after), [])
    assert bool(entries) is (expected not in {REFUSED, NOTHING})


@pytest.mark.parametrize("status", [s for s in OrderStatus if TRANSITIONS.is_final(s)])
def test_a_finished_order_has_no_deadline(status: OrderStatus) -> None:
    assert an_order(status).deadline_at is None


def test_versions_count_events_and_entries_count_the_timeline() -> None:
    order = an_order()
    order.stock_reserved(NOW, timedelta(minutes=15))
    order.payment_authorized(NOW, uuid4(), order.total)
    assert [version for _, version in order.pull_events()] == [2, 3]
    assert [entry.seq for entry in order.pull_entries()] == [2, 3]


def test_a_deadline_that_has_not_come_changes_nothing() -> None:
    order = an_order(S.AWAITING_PAYMENT)
    order.expire(NOW + timedelta(minutes=14))
    assert order.status is S.AWAITING_PAYMENT


@pytest.mark.parametrize(("status", "reason"), [(S.PENDING, "stock_timeout"), (S.AWAITING_PAYMENT, "payment_timeout")])
def test_a_passed_deadline_says_which(status: OrderStatus, reason: str) -> None:
    order = an_order(status)
    order.expire(LATER)
    assert order.status_reason == reason


def test_refunds_in_parts_end_the_order_when_they_are_all_of_it_in_any_order() -> None:
    order = an_order(S.REFUNDING)
    order.payment_refunded(LATER, order.total)
    order.payment_refunded(LATER, Money(amount=100, currency="EUR"))  # the earlier one, overtaken
    assert order.status is S.REFUNDED
    assert order.refunded == order.total.amount


def test_a_refund_that_overtook_its_capture_still_ends_the_order() -> None:
    order = an_order(S.CONFIRMED)
    order.payment_refunded(LATER, order.total)
    order.payment_captured(LATER, uuid4(), order.total)
    assert order.status is S.REFUNDED


@pytest.mark.parametrize("method", ["payment_authorized", "payment_captured"])
def test_a_payment_of_another_amount_is_never_taken_for_ours(method: str) -> None:
    order = an_order(S.AWAITING_PAYMENT)
    with pytest.raises(AmountMismatchError):
        getattr(order, method)(LATER, uuid4(), Money(amount=1, currency="EUR"))
    assert order.status is S.AWAITING_PAYMENT


@pytest.mark.parametrize("status", OrderStatus)
def test_what_befalls_another_attempt_to_pay_does_not_end_an_order(status: OrderStatus) -> None:
    """A hold that lapsed, or that the customer replaced, may be told after another payment confirmed the order."""
    order = an_order(status)

    order.payment_voided(LATER, uuid4())
    order.payment_capture_failed(LATER, uuid4(), "expired")

    assert order.status is status
