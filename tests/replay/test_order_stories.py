"""order_svc hears what catalog and payment say, in any order that can be, and decides the same."""

import pytest

from contracts.order import OrderPlaced
from tests.replay.clients import Reader
from tests.replay.tellings import Telling, every_telling
from tests.support.replay import facts_of, load_story, replay, types_of

pytestmark = pytest.mark.exhaustive

TOTAL = 3397

STORIES = {
    "happy_path": ("fulfilled", None, TOTAL, 0),
    "shortage": ("rejected", "out_of_stock", 0, 0),
    "decline_then_success": ("paid", None, TOTAL, 0),
    "cancelled_before_payment": ("cancelled", "customer", 0, 0),
    "cancelled_after_payment": ("refunded", "customer", TOTAL, TOTAL),
    "cancelled_at_once": ("cancelled", "customer", 0, 0),
    "capture_failed": ("cancelled", "capture_failed", 0, 0),
}
"""The order at the end: status, why, captured, refunded."""


@every_telling
@pytest.mark.parametrize("name", STORIES)
async def test_the_order_ends_as_the_story_tells(reader: Reader, telling: Telling, name: str) -> None:
    story = load_story(f"{name}.jsonl")
    outgoing = await replay(
        reader.service, story.name, cues=reader.cues, shuffled=telling.shuffled, duplicated=telling.duplicated
    )

    assert facts_of(outgoing) == facts_of(story.said_by("order"))
    [order] = (await reader.get("/orders/audit/orders"))["items"]
    assert order["flaws"] == []
    placed = story.said_by("order")[0]
    assert isinstance(placed, OrderPlaced)
    assert order["id"] == str(placed.order_id)
    view = await reader.get(f"/orders/{order['id']}")
    end = (view["status"], view["status_reason"], order["captured"], order["refunded"])
    assert end == STORIES[name]
    assert order["deadline_at"] is None
    entries = [entry["event"] for entry in (await reader.get(f"/orders/{order['id']}/timeline"))["items"]]
    assert len(entries) == len(set(entries)), "a fact is on the timeline once, however often it came"
    assert not reader.service.dead_letters()


@every_telling
async def test_the_newest_state_of_a_product_counts(reader: Reader, telling: Telling) -> None:
    """Listed, dearer, renamed, retired: it cannot be ordered, whatever came last."""
    outgoing = await replay(
        reader.service, "prices_change.jsonl", shuffled=telling.shuffled, duplicated=telling.duplicated
    )

    assert outgoing == []
    wanted = {"lines": [{"sku": "MOBY-DICK-1851", "quantity": 1}]}
    with pytest.raises(AssertionError, match="unknown-product"):
        await reader.send("POST", "/orders", wanted, user_id=reader.ids.new(), headers={"Idempotency-Key": "a"})
    await reader.service.settled()
    assert types_of(reader.service.outgoing()) == []
