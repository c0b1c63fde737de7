"""The audit finds what does not add up, and nothing in a shop that does."""

import copy
from typing import Any

import pytest

from contracts.registry import SERVICES
from ops.audit import breaches, event_owner, moving

ORDER, SKU = "01900000-0000-7000-8000-000000000001", "BOOK-1"


def sound_figures() -> dict[str, Any]:
    """One paid order of two books out of ten."""
    figures: dict[str, Any] = {
        "catalog": {
            "stock": [
                {"sku": SKU, "received": 10, "available": 8, "reserved": 0, "sold": 2, "balanced": True},
            ],
            "orders": [{"order_id": ORDER, "state": "committed", "lines": [{"sku": SKU, "quantity": 2}]}],
        },
        "order": {
            "orders": [
                {
                    "id": ORDER,
                    "status": "paid",
                    "total": 2000,
                    "captured": 2000,
                    "refunded": 0,
                    "lines": [{"sku": SKU, "quantity": 2}],
                }
            ]
        },
        "payment": {
            "orders": [{"order_id": ORDER, "captures": 1, "captured": 2000, "refunded": 0, "held": 0}],
            "operations_pending": [],
            "ledger": {"EUR": {"cash": 2000, "sales": -2000}},
            "breaches": [],
        },
        "broker": {"dead": {}},
    }
    for service in ("catalog", "order", "payment"):
        reads = {event.wire_name: 1 for event in SERVICES[service].reads if event_owner(event.wire_name) != "auth"}
        sent = {event.wire_name: 1 for event in SERVICES[service].publishes}
        figures[service] |= {"outbox": {"pending": 0, "parked": 0}, "sent": sent, "received": reads}
    return figures


def test_a_sound_shop_has_no_breach_and_nothing_moving() -> None:
    assert breaches(sound_figures()) == []
    assert moving(sound_figures()) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("catalog", "stock", 0, "available"), 9, "received 10 is not available"),
        (("catalog", "stock", 0, "balanced"), False, "stock ledger"),
        (("catalog", "stock", 0, "reserved"), 1, "reserved is 1"),
        (("catalog", "orders", 0, "state"), "held", "stock is held, but the order is paid"),
        (("catalog", "orders", 0, "order_id"), "other", "nobody placed"),
        (("catalog", "orders", 0, "lines", 0, "quantity"), 1, "differ"),
        (("catalog", "orders"), [], "no stock is committed"),
        (("order", "orders", 0, "status"), "cancelled", "was kept"),
        (("order", "orders", 0, "captured"), 0, "differ about what was captured"),
        (("payment", "orders", 0, "captured"), 1999, "1999 of 2000"),
        (("payment", "orders", 0, "captures"), 2, "captured 2 times"),
        (("payment", "orders", 0, "held"), 2000, "still authorised"),
        (("payment", "orders", 0, "order_id"), "other", "order_svc does not"),
        (("payment", "ledger", "EUR", "cash"), 1, "sum to zero"),
        (("payment", "breaches"), ["books differ"], "books differ"),
        (("order", "outbox", "parked"), 1, "parked"),
    ],
)
def test_every_breach_is_found(path: tuple[str | int, ...], value: object, said: str) -> None:
    figures = copy.deepcopy(sound_figures())
    place: Any = figures
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(said in text for text in breaches(figures)), breaches(figures)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("catalog", "outbox", "pending"), 3, "not yet confirmed"),
        (("order", "orders", 0, "status"), "confirmed", "is confirmed"),
        (("payment", "operations_pending"), [{"id": "pay:1:capture"}], "pay:1:capture"),
        (("order", "sent", "order.placed.v1"), 2, "catalog: 1 events were sent and are not handled"),
        (("broker", "dead"), {"order": 1}, "1 dead letters lie there"),
    ],
)
def test_what_still_moves_is_said(path: tuple[str | int, ...], value: object, said: str) -> None:
    figures = copy.deepcopy(sound_figures())
    place: Any = figures
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(said in text for text in moving(figures)), moving(figures)
