"""The judge can find every kind of wrong; one that cannot fail would prove nothing."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.customers import Intent, Visit
from tests.chaos.record import Ask, Inflicted, Offer, Record
from tests.chaos.verdict import Verdict, harmed, judge, unsteady

Order = dict[str, Any]


def an_order(order_id: str = "o-1", status: str = "paid", reason: str | None = None) -> Order:
    return {
        "id": order_id,
        "status": status,
        "status_reason": reason,
        "total": {"amount": 500, "currency": "EUR"},
        "lines": [{"sku": "A", "quantity": 1}],
        "placed_at": "2026-11-26T04:00:00Z",
    }


def asked(number: int, key: str, outcome: str, answer: Mapping[str, Any] | None = None) -> list[Order]:
    """An attempt and what came back, as the journal has them."""
    text = json.dumps(answer) if answer else ""
    return [
        {"n": number, "call": "place", "key": key, "try": number},
        {"n": number, "key": key, "outcome": outcome, "status": 201 if answer else 0, "answer": text},
    ]


def visited(order: Order | None, intent: Intent = Intent.BUY) -> Visit:
    return Visit(0, intent, "k", Offer(0.0), order)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def judged(journal: Path, entries: Iterable[list[Order]], orders: list[Order], *visits: Visit) -> Verdict:
    journal.write_text("".join(json.dumps(line) + "\n" for pair in entries for line in pair))
    return judge(journal, visits, orders, Record())


def test_an_order_that_was_answered_and_paid_is_all_there_is_to_it(journal: Path) -> None:
    order = an_order()
    attempts = [asked(1, "k", "unknown"), asked(2, "k", "ok", order), asked(3, "k", "ok", order)]
    verdict = judged(journal, attempts, [order], visited(order))
    assert verdict.passed


def test_an_answered_order_that_is_not_there_is_lost(journal: Path) -> None:
    order = an_order()
    verdict = judged(journal, [asked(1, "k", "ok", order)], [], visited(order))
    assert verdict.lost == ["order o-1 was answered 201 and is not there"]


def test_one_key_with_two_orders_is_doubled(journal: Path) -> None:
    orders = [an_order("o-1"), an_order("o-2")]
    verdict = judged(journal, [asked(n, "k", "ok", order) for n, order in enumerate(orders)], orders)
    assert verdict.doubled == ["key k made orders ['o-1', 'o-2']"]


def test_an_order_nobody_was_told_of_is_a_phantom(journal: Path) -> None:
    order = an_order()
    verdict = judged(journal, [asked(1, "k", "ok", order)], [order, an_order("o-2")], visited(order))
    assert verdict.phantom == ["order o-2 was never answered to anybody"]


def test_an_order_that_is_not_what_was_answered_is_altered(journal: Path) -> None:
    order = an_order()
    verdict = judged(journal, [asked(1, "k", "ok", order)], [order | {"lines": []}], visited(order))
    assert verdict.altered == ["order o-1: lines are not as they were answered"]


def test_an_attempt_without_a_certain_answer_is_unresolved(journal: Path) -> None:
    verdict = judged(journal, [asked(1, "k", "unknown"), asked(2, "k", "refused")], [])
    assert verdict.unresolved == ["key k: 2 attempts and no certain answer"]


@pytest.mark.parametrize(
    ("intent", "status", "reason", "kind"),
    [
        (Intent.BUY, "awaiting_payment", None, "astray"),
        (Intent.BUY, "rejected", "out_of_stock", "astray"),
        (Intent.BUY, "cancelled", "payment_timeout", "late"),
        (Intent.CANCEL_PAID, "paid", None, "astray"),
        (Intent.LEAVE, "paid", None, "astray"),
    ],
)
def test_an_order_that_did_not_end_as_its_customer_meant(
    journal: Path, intent: Intent, status: str, reason: str | None, kind: str
) -> None:
    order = an_order(status=status, reason=reason)
    verdict = judged(journal, [asked(1, "k", "ok", order)], [order], visited(order, intent))
    assert len(getattr(verdict, kind)) == 1
    assert not verdict.passed


def test_a_service_that_falls_with_another_is_named() -> None:
    record = Record(faults=[Inflicted("stop catalog", "stop", 10.0, 40.0)])
    record.asks = [
        Ask(20.0, "catalog", "browse", 0.1, "refused", 1, 0),
        Ask(20.0, "payment", "pay", 0.1, "again", 1, 404),
        Ask(41.0, "order", "place", 0.1, "again", 1, 503),
    ]
    assert harmed(record) == []
    record.asks.append(Ask(20.0, "order", "place", 0.1, "again", 1, 503))
    assert harmed(record) == ["stop catalog, and at 20.0 s order did not answer 'place' (again, status 503)"]


def test_trouble_before_the_first_fault_is_named() -> None:
    record = Record(
        asks=[Ask(3.0, "order", "place", 10.0, "unknown", 1, 0), Ask(9.0, "order", "place", 1.0, "unknown", 1, 0)]
    )
    assert unsteady(record, 5.0) == [
        "before the first fault: at 3.0 s order did not answer 'place' (unknown, status none)"
    ]
