"""Keys beside what they made: sums say what naming every id would say, and take no memory for it."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.audit.findings import Check, Kind
from ops.audit.keys import HOUR, MARGIN, KeyBook
from ops.audit.look import look
from tests.ops.audited import NOW, AuditedShop, an_id, an_order, seconds_ago

KEPT_SINCE: Final = NOW - timedelta(days=2)
SINCE: Final = KEPT_SINCE + MARGIN
ROUTE: Final = "POST /orders"

Keys = list[str | None]
Made = list[tuple[str, datetime]]


def by_naming_all(keys: Keys, made: Made) -> set[str]:
    """What is wrong, found with every id in memory."""
    counted, there = Counter(keys), {made_id: at for made_id, at in made if at > KEPT_SINCE - MARGIN}

    def wrong() -> Iterator[str]:
        for made_id, number in counted.items():
            if made_id is None:
                yield f"{number} answers kept under keys of {ROUTE} name no order"
            elif made_id not in there:
                yield f"a key of {ROUTE} made order {made_id}, which does not exist"
            elif number > 1:
                yield f"order {made_id} was made under {number} keys"
        for made_id, at in there.items():
            if SINCE < at < NOW and made_id not in counted:
                yield f"order {made_id} was made without a key"

    return set(wrong())


def by_sums(keys: Keys, made: Made) -> set[str]:
    """The same as an audit finds it: sums first, then the ids of the hours that differ."""
    named: frozenset[int] = frozenset()
    for _ in range(2):
        book = KeyBook("order", KEPT_SINCE, NOW, named)
        for made_id in keys:
            book.take_key(ROUTE, made_id)
        for order_id, at in made:
            book.take_made(order_id, at)
        named = book.differing()
    assert not named, "the ids of every hour that differed are kept the second time"
    return {finding.text for finding in book.findings(SINCE)}


MOMENTS: Final = st.sampled_from([-30, 0, 30, 90, HOUR, 2 * HOUR, 46 * HOUR, 47 * HOUR + 1, 48 * HOUR + 1, 60 * HOUR])
"""Seconds before now: around every border there is."""
ORDERS: Final = st.lists(st.tuples(st.integers(1, 30), MOMENTS), max_size=20, unique_by=lambda order: order[0])


@given(orders=ORDERS, keys=st.lists(st.tuples(st.integers(1, 30), MOMENTS) | st.none(), max_size=4), data=st.data())
def test_sums_find_what_naming_every_id_finds(
    orders: list[tuple[int, int]], keys: list[tuple[int, int] | None], data: st.DataObject
) -> None:
    def made_at(seconds: int) -> datetime:
        return NOW - timedelta(seconds=seconds)

    made = [(an_id(number, made_at(seconds)), made_at(seconds)) for number, seconds in orders]
    lost = data.draw(st.sets(st.sampled_from(made))) if made else set()
    strange = [None if key is None else an_id(key[0], made_at(key[1])) for key in keys]
    used = [made_id for made_id, at in made if (made_id, at) not in lost]
    assert by_sums([*used, *strange], made) == by_naming_all([*used, *strange], made)


def test_as_many_keys_but_for_another_order() -> None:
    assert by_sums([an_id(1)], [(an_id(2), NOW - timedelta(hours=1))]) == {
        f"a key of {ROUTE} made order {an_id(1)}, which does not exist",
        f"order {an_id(2)} was made without a key",
    }


def test_a_busy_shop_takes_no_memory() -> None:
    """What is kept of 20,000 orders is less than half a byte each."""
    at, count = NOW - timedelta(hours=1), 20_000
    book = KeyBook("order", KEPT_SINCE, NOW)
    book.take_key(ROUTE, an_id(0))
    book.take_made(an_id(0), at)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, count):
            book.take_key(ROUTE, an_id(number, at))
        for number in range(1, count):
            book.take_made(an_id(number, at), at)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < count / 2
    assert (book.read, book.differing()) == (count, frozenset())


@pytest.mark.parametrize(("lost", "times"), [(False, 1), (True, 2)])
async def test_both_sides_are_read_again_only_if_they_differ(lost: bool, times: int) -> None:
    shop = AuditedShop(page=2)
    shop.orders += [an_order(an_id(number), status="cancelled", captured=0) for number in range(10, 15)]
    used = [{"at": seconds_ago(3600), "route": ROUTE, "made": order["id"]} for order in shop.orders]
    shop.keys["order"] = used[1:] if lost else used
    found = (await look(shop)).of(Kind.BREACH)
    assert [(finding.check, finding.ids) for finding in found] == ([(Check.KEYS, (used[0]["made"],))] if lost else [])
    assert sum(path.startswith("/orders/audit/keys") for path in shop.asked) == times
    whole_lists = [path for path in shop.asked if path == "/orders/audit/orders"]
    assert len(whole_lists) == times
