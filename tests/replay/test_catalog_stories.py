"""catalog_svc hears order's decisions, in any order that can be, and the shelf ends the same."""

import pytest

from contracts.catalog import StockCommitted
from tests.replay.clients import Bookseller
from tests.replay.tellings import Telling, every_telling
from tests.support.replay import facts_of, load_story, replay

pytestmark = pytest.mark.exhaustive

FULL = {"MOBY-DICK-1851": (5, 0, 0), "EMMA-1815": (2, 0, 0)}
SOLD = {"MOBY-DICK-1851": (3, 0, 2), "EMMA-1815": (1, 0, 1)}

STORIES = {
    "happy_path": (SOLD, {"committed": 1}),
    "shortage": (FULL, {"rejected": 1}),
    "decline_then_success": (SOLD, {"committed": 1}),
    "cancelled_before_payment": (FULL, {"released": 1}),
    "cancelled_after_payment": (FULL, {"released": 1}),
    "capture_failed": (FULL, {"released": 1}),
    "prices_change": ({"MOBY-DICK-1851": (0, 0, 0)}, {}),
}
"""Available, reserved and sold of each product at the end, and what became of the reservation."""

NEVER_SOLD = {"cancelled_after_payment", "capture_failed"}
"""Where the cancellation may overtake the confirmation: then what was held is freed without having been sold."""


@every_telling
@pytest.mark.parametrize("name", STORIES)
async def test_the_shelf_ends_as_the_story_tells(bookseller: Bookseller, telling: Telling, name: str) -> None:
    story = load_story(f"{name}.jsonl")
    outgoing = await replay(
        bookseller.service, story.name, cues=bookseller.cues, shuffled=telling.shuffled, duplicated=telling.duplicated
    )

    told = story.said_by("catalog")
    if telling.shuffled is not None and name in NEVER_SOLD and StockCommitted not in map(type, outgoing):
        told = [event for event in told if not isinstance(event, StockCommitted)]
    assert facts_of(outgoing) == facts_of(told)
    assert await shelf(bookseller) == STORIES[name]
    assert not bookseller.service.dead_letters()


@every_telling
async def test_an_order_cancelled_at_once_holds_nothing_in_the_end(bookseller: Bookseller, telling: Telling) -> None:
    """Whether the stock was held and freed or never held at all depends on what came first; the end does not."""
    already = facts_of(load_story("cancelled_at_once.jsonl").said_by("catalog"))
    outgoing = await replay(
        bookseller.service,
        "cancelled_at_once.jsonl",
        cues=bookseller.cues,
        shuffled=telling.shuffled,
        duplicated=telling.duplicated,
    )

    about_the_order = {
        subject: [name for name, _ in facts] for subject, facts in facts_of(outgoing).items() if subject not in already
    }
    assert list(about_the_order.values()) in ([["stock.reserved.v1", "stock.released.v1"]], [])
    assert await shelf(bookseller) == (FULL, {"released": 1})
    assert not bookseller.service.dead_letters()


async def shelf(bookseller: Bookseller) -> tuple[dict[str, tuple[int, int, int]], dict[str, int]]:
    figures = await bookseller.get("/catalog/audit")
    assert all(row["balanced"] for row in figures["stock"])
    counts = {row["sku"]: (row["available"], row["reserved"], row["sold"]) for row in figures["stock"]}
    return counts, figures["reservations_by_state"]
