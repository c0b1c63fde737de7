"""Reservations: every state meets every fact, and any order of facts ends the same."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from uuid import UUID

import pytest

from catalog_svc.domain.reservation import TRANSITIONS, Reservation, ReservationState
from catalog_svc.domain.stock import Movement, MovementKind, StockItem
from contracts.catalog import Shortage, StockCommitted, StockLine, StockRejected, StockReleased, StockReserved
from contracts.envelope import Event

S = ReservationState
K = MovementKind
ORDER = UUID(int=7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRES = NOW + timedelta(minutes=30)
LINES = (StockLine(sku="A", quantity=2), StockLine(sku="B", quantity=1))


def a_shelf(a: int = 5, b: int = 5, *, on_sale: bool = True) -> dict[str, StockItem]:
    return {sku: StockItem(sku, on_hand=count, received=count, on_sale=on_sale) for sku, count in (("A", a), ("B", b))}


def a_reservation(state: ReservationState, shelf: dict[str, StockItem]) -> Reservation:
    """A reservation brought into `state` by facts, its events pulled."""
    reservation = Reservation(ORDER)
    match state:
        case S.AWAITED:
            reservation.confirm(shelf)
        case S.HELD:
            reservation.place(LINES, shelf, EXPIRES)
        case S.COMMITTED:
            reservation.place(LINES, shelf, EXPIRES)
            reservation.confirm(shelf)
        case S.REJECTED:
            reservation.place([StockLine(sku="A", quantity=1_000), LINES[1]], shelf, EXPIRES)
            reservation.lines = LINES
        case S.EXPIRED:
            reservation.place(LINES, shelf, EXPIRES)
            reservation.expire(EXPIRES, shelf)
        case S.RELEASED:
            reservation.place(LINES, shelf, EXPIRES)
            reservation.cancel("why", shelf)
    assert reservation.state is state
    reservation.pull_events()
    return reservation


def apply(reservation: Reservation, fact: str, shelf: dict[str, StockItem]) -> list[Movement]:
    match fact:
        case "placed":
            return reservation.place(LINES, shelf, EXPIRES)
        case "confirmed":
            return reservation.confirm(shelf)
        case "cancelled":
            return reservation.cancel("why", shelf)
        case _:
            return reservation.expire(EXPIRES, shelf)


FACTS = ("placed", "confirmed", "cancelled", "expired")
HOLD, SELL, FREE, RESTOCK = [K.RESERVE] * 2, [K.SELL] * 2, [K.RELEASE] * 2, [K.RESTOCK] * 2

MOVES: dict[tuple[S, str], tuple[S, list[K], list[type[Event]]]] = {
    (S.UNKNOWN, "placed"): (S.HELD, HOLD, [StockReserved]),
    (S.UNKNOWN, "confirmed"): (S.AWAITED, [], []),
    (S.UNKNOWN, "cancelled"): (S.RELEASED, [], []),
    (S.AWAITED, "placed"): (S.COMMITTED, HOLD + SELL, [StockReserved, StockCommitted]),
    (S.AWAITED, "cancelled"): (S.RELEASED, [], []),
    (S.HELD, "confirmed"): (S.COMMITTED, SELL, [StockCommitted]),
    (S.HELD, "cancelled"): (S.RELEASED, FREE, [StockReleased]),
    (S.HELD, "expired"): (S.EXPIRED, FREE, [StockReleased]),
    (S.EXPIRED, "confirmed"): (S.COMMITTED, HOLD + SELL, [StockCommitted]),
    (S.EXPIRED, "cancelled"): (S.RELEASED, [], []),
    (S.COMMITTED, "cancelled"): (S.RELEASED, RESTOCK, [StockReleased]),
    (S.REJECTED, "cancelled"): (S.RELEASED, [], []),
}
"""Every pair that is not here changes nothing."""


@pytest.mark.parametrize(("state", "fact"), list(product(S, FACTS)))
def test_every_state_meets_every_fact(state: ReservationState, fact: str) -> None:
    shelf = a_shelf()
    reservation = a_reservation(state, shelf)
    expected, kinds, events = MOVES.get((state, fact), (state, [], []))
    movements = apply(reservation, fact, shelf)
    assert reservation.state is expected
    assert [movement.kind for movement in movements] == kinds
    assert [type(event) for event, _ in reservation.pull_events()] == events
    for item in shelf.values():
        assert 0 <= item.reserved <= item.on_hand
        assert item.on_hand + item.sold == item.received


@pytest.mark.parametrize("repeats", [1, 2])
def test_any_order_of_facts_ends_the_same(repeats: int) -> None:
    ends = set()
    for order in permutations(["placed", "confirmed", "cancelled"] * repeats):
        shelf = a_shelf()
        reservation = Reservation(ORDER)
        for fact in order:
            apply(reservation, fact, shelf)
        ends.add((reservation.state, reservation.lines, reservation.reason, shelf["A"].counts, shelf["B"].counts))
    assert len(ends) == 1
    state, lines, _, counts, _ = ends.pop()
    assert (state, lines) == (S.RELEASED, LINES)
    assert (counts.on_hand, counts.reserved, counts.sold) == (5, 0, 0)


@pytest.mark.parametrize(("a", "state"), [(5, S.COMMITTED), (1, S.REJECTED)])
def test_confirmed_before_placed_ends_as_after(a: int, state: ReservationState) -> None:
    for facts in permutations(["placed", "confirmed"]):
        shelf = a_shelf(a)
        reservation = Reservation(ORDER)
        for fact in facts:
            apply(reservation, fact, shelf)
        assert reservation.state is state


def test_a_shortage_holds_nothing_and_names_every_short_line() -> None:
    shelf = a_shelf(a=1, b=0)
    shelf["C"] = StockItem("C", on_hand=9, received=9)
    shelf["OLD"] = StockItem("OLD", on_hand=9, received=9, on_sale=False)
    reservation = Reservation(ORDER)
    wanted = [*LINES, *(StockLine(sku=sku, quantity=3) for sku in ("C", "NONE", "OLD"))]
    assert reservation.place(wanted, shelf, EXPIRES) == []
    [(event, version)] = reservation.pull_events()
    assert version == 1
    assert event == StockRejected(
        order_id=ORDER,
        shortages=[
            Shortage(sku="A", requested=2, available=1),
            Shortage(sku="B", requested=1, available=0),
            Shortage(sku="NONE", requested=3, available=0),
            Shortage(sku="OLD", requested=3, available=0),
        ],
    )
    assert [item.reserved for item in shelf.values()] == [0, 0, 0, 0]


def test_lines_of_one_product_are_one() -> None:
    shelf = a_shelf(a=3)
    reservation = Reservation(ORDER)
    reservation.place([LINES[0], LINES[1], LINES[0]], shelf, EXPIRES)
    [(event, _)] = reservation.pull_events()
    assert event == StockRejected(order_id=ORDER, shortages=[Shortage(sku="A", requested=4, available=3)])


def test_an_expired_order_that_is_confirmed_takes_what_is_there_even_if_it_was_retired() -> None:
    shelf = a_shelf()
    reservation = a_reservation(S.EXPIRED, shelf)
    shelf["A"].on_sale = False
    reservation.confirm(shelf)
    assert reservation.state is S.COMMITTED


def test_an_expired_order_whose_stock_is_gone_is_rejected() -> None:
    shelf = a_shelf(a=2)
    reservation = a_reservation(S.EXPIRED, shelf)
    other = Reservation(UUID(int=8))
    other.place(LINES, shelf, EXPIRES)
    reservation.confirm(shelf)
    assert reservation.state is S.REJECTED
    [(event, _)] = reservation.pull_events()
    assert event == StockRejected(order_id=ORDER, shortages=[Shortage(sku="A", requested=2, available=0)])


def test_nothing_expires_before_its_time() -> None:
    shelf = a_shelf()
    reservation = a_reservation(S.HELD, shelf)
    assert reservation.expire(EXPIRES - timedelta(microseconds=1), shelf) == []
    assert reservation.state is S.HELD


def test_released_is_for_ever() -> None:
    assert TRANSITIONS.is_final(S.RELEASED)
