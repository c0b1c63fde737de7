"""Orders' facts against a real store: stock, ledger and outbox agree, whatever comes late, early or twice."""

import asyncio
from datetime import timedelta
from itertools import permutations
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from catalog_svc.commands import AdjustStock, ExpireReservation, RetireProduct
from catalog_svc.domain.stock import StockNegativeError
from catalog_svc.expiry import expiry_sweep
from catalog_svc.handlers import adjust_stock, expire_reservation, retire_product
from catalog_svc.store import Policy
from catalog_svc.tables import stock_ledger
from contracts.catalog import (
    Shortage,
    StockAdjusted,
    StockCommitted,
    StockLine,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.envelope import Event
from tests.catalog_svc.shop import (
    CatalogRuntime,
    assert_balanced,
    cancelled,
    confirmed,
    counts_of,
    deliver,
    envelopes,
    ledger_of,
    placed,
    published,
    snapshot,
    state_of,
    stocked,
)
from tests.support.clocks import ManualClock

TTL = Policy().reservation_ttl


async def test_a_placed_order_holds_its_stock(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5, B=1)
    order_id, reserve_by = uuid4(), clock.now() + timedelta(minutes=2)
    await deliver(runtime, placed(order_id, {"A": 2, "B": 1}, reserve_by))
    assert await counts_of(runtime, "A") == (5, 2, 0)
    lines = [StockLine(sku="A", quantity=2), StockLine(sku="B", quantity=1)]
    assert await published(runtime, about=order_id) == [
        StockReserved(order_id=order_id, lines=lines, expires_at=reserve_by + TTL)
    ]
    await assert_balanced(runtime, "AB")


async def test_the_whole_way_of_a_refunded_order(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5)
    order_id = uuid4()
    await deliver(runtime, placed(order_id, {"A": 2}, clock.now()))
    await deliver(runtime, confirmed(order_id))
    assert await counts_of(runtime, "A") == (3, 0, 2)
    await deliver(runtime, cancelled(order_id))
    assert await counts_of(runtime, "A") == (5, 0, 0)
    assert await ledger_of(runtime, "A") == [("receive", 5, 0), ("reserve", 0, 2), ("sell", -2, -2), ("restock", 2, 0)]
    lines = [StockLine(sku="A", quantity=2)]
    events = await envelopes(runtime, about=order_id)
    assert [event.aggregateversion for event in events] == [1, 2, 3]
    assert {event.correlationid for event in events} == {order_id}
    assert (await published(runtime, about=order_id))[1:] == [
        StockCommitted(order_id=order_id, lines=lines),
        StockReleased(order_id=order_id, lines=lines, reason="by_customer"),
    ]
    await assert_balanced(runtime, "A")


async def test_a_short_order_holds_nothing(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5, B=0, C=5)
    await runtime.writer.execute(retire_product, RetireProduct("C", None))
    order_id = uuid4()
    await deliver(runtime, placed(order_id, {"A": 2, "B": 1, "C": 1, "NONE": 1}, clock.now()))
    shortages = [Shortage(sku=sku, requested=1, available=0) for sku in ("B", "C", "NONE")]
    assert await published(runtime, about=order_id) == [StockRejected(order_id=order_id, shortages=shortages)]
    assert await counts_of(runtime, "A") == (5, 0, 0)
    assert await state_of(runtime, order_id) == "rejected"


async def test_a_late_order_is_held_all_the_same(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5)
    order_id = uuid4()
    await deliver(runtime, placed(order_id, {"A": 1}, clock.now() - timedelta(hours=1)))
    [event] = await published(runtime, about=order_id)
    assert isinstance(event, StockReserved)
    assert event.expires_at == clock.now() + TTL


async def test_any_order_of_facts_and_duplicates_ends_in_the_same_store(
    runtime: CatalogRuntime, clock: ManualClock
) -> None:
    """Each permutation is an order of its own; all facts come twice, once by the same id and once by another."""
    await stocked(runtime, A=100)
    for facts in permutations(["placed", "confirmed", "cancelled"]):
        order_id = uuid4()
        events = {
            "placed": placed(order_id, {"A": 3}, clock.now()),
            "confirmed": confirmed(order_id),
            "cancelled": cancelled(order_id),
        }
        for fact in facts:
            event_id = uuid4()
            assert await deliver(runtime, events[fact], event_id)
            assert not await deliver(runtime, events[fact], event_id)
        for fact in reversed(facts):
            await deliver(runtime, events[fact])
        assert await counts_of(runtime, "A") == (100, 0, 0), facts
        assert await state_of(runtime, order_id) == "released", facts
    rows = (await snapshot(runtime))["reservations"]
    for row in rows:
        del row["order_id"]
    assert all(row == rows[0] for row in rows)
    await assert_balanced(runtime, "A")


async def test_confirmed_before_placed_is_sold_when_placed_comes(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5)
    order_id = uuid4()
    await deliver(runtime, confirmed(order_id))
    assert await published(runtime, about=order_id) == []
    await deliver(runtime, placed(order_id, {"A": 2}, clock.now()))
    assert await counts_of(runtime, "A") == (3, 0, 2)
    assert [type(event) for event in await published(runtime, about=order_id)] == [StockReserved, StockCommitted]
    await assert_balanced(runtime, "A")


async def test_a_tombstone_keeps_a_late_order_from_holding_anything(
    runtime: CatalogRuntime, clock: ManualClock
) -> None:
    await stocked(runtime, A=5)
    order_id = uuid4()
    await deliver(runtime, cancelled(order_id))
    await deliver(runtime, placed(order_id, {"A": 2}, clock.now()))
    assert await counts_of(runtime, "A") == (5, 0, 0)
    assert await published(runtime, about=order_id) == []


async def test_facts_of_one_order_in_one_batch(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5)
    order_id = uuid4()
    facts: list[Event] = [placed(order_id, {"A": 2}, clock.now()), confirmed(order_id), cancelled(order_id)]
    await asyncio.gather(*(deliver(runtime, fact) for fact in facts))
    assert await counts_of(runtime, "A") == (5, 0, 0)
    assert len(await published(runtime, about=order_id)) == 3
    await assert_balanced(runtime, "A")


async def test_held_stock_expires_and_is_taken_again_when_the_order_is_confirmed(
    runtime: CatalogRuntime, clock: ManualClock
) -> None:
    await stocked(runtime, A=2)
    order_id = uuid4()
    await deliver(runtime, placed(order_id, {"A": 2}, clock.now()))
    sweep = expiry_sweep(runtime, timedelta(seconds=5))
    assert await sweep.run() == 0
    clock.advance(TTL)
    assert await sweep.run() == 1
    assert await sweep.run() == 0
    assert await counts_of(runtime, "A") == (2, 0, 0)
    await deliver(runtime, confirmed(order_id))
    assert await counts_of(runtime, "A") == (0, 0, 2)
    lines = [StockLine(sku="A", quantity=2)]
    assert (await published(runtime, about=order_id))[1:] == [
        StockReleased(order_id=order_id, lines=lines, reason="expired"),
        StockCommitted(order_id=order_id, lines=lines),
    ]
    await assert_balanced(runtime, "A")


async def test_an_expired_order_whose_stock_went_to_another_is_rejected_and_later_cancelled(
    runtime: CatalogRuntime, clock: ManualClock
) -> None:
    await stocked(runtime, A=2)
    first, second = uuid4(), uuid4()
    await deliver(runtime, placed(first, {"A": 2}, clock.now()))
    clock.advance(TTL)
    await runtime.writer.execute(expire_reservation, ExpireReservation(first))
    await deliver(runtime, placed(second, {"A": 1}, clock.now()))
    for _ in range(2):
        await deliver(runtime, confirmed(first))
    shortages = [Shortage(sku="A", requested=2, available=1)]
    assert (await published(runtime, about=first))[2:] == [StockRejected(order_id=first, shortages=shortages)]
    await deliver(runtime, cancelled(first, "stock_lost"))
    assert await state_of(runtime, first) == "released"
    assert await counts_of(runtime, "A") == (2, 1, 0)
    await assert_balanced(runtime, "A")


async def test_adjustments_are_published_and_journalled(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=5)
    await deliver(runtime, placed(uuid4(), {"A": 4}, clock.now()))
    with pytest.raises(StockNegativeError):
        await runtime.writer.execute(adjust_stock, AdjustStock("A", -2, "lost"))
    counts = await runtime.writer.execute(adjust_stock, AdjustStock("A", -1, "lost"))
    assert (counts.on_hand, counts.reserved, counts.available) == (4, 4, 0)
    [_, received, lost] = await published(runtime, about="A")
    assert received == StockAdjusted(sku="A", delta=5, on_hand=5, reason="delivery")
    assert lost == StockAdjusted(sku="A", delta=-1, on_hand=4, reason="lost")
    assert await ledger_of(runtime, "A") == [("receive", 5, 0), ("reserve", 0, 4), ("adjust", -1, 0)]


async def test_the_ledger_names_the_event_that_moved_the_stock(runtime: CatalogRuntime, clock: ManualClock) -> None:
    await stocked(runtime, A=1)
    order_id, event_id = uuid4(), uuid4()
    await deliver(runtime, placed(order_id, {"A": 1}, clock.now()), event_id)
    [event] = await envelopes(runtime, about=order_id)
    assert event.causationid == event_id
    assert await _causes(runtime, order_id) == [event_id]


async def _causes(runtime: CatalogRuntime, order_id: UUID) -> list[UUID]:
    rows = await runtime.reader.all(sa.select(stock_ledger.c.cause_id).where(stock_ledger.c.order_id == order_id))
    return [row["cause_id"] for row in rows]
