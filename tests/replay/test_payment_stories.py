"""payment_svc hears order's decisions, in any order that can be, and the money ends the same."""

from typing import Any

import pytest

from tests.replay.clients import CAPTURE_FAILS, Payer
from tests.replay.tellings import Telling, every_telling
from tests.support.replay import facts_of, load_story, replay
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

TOTAL = 3397

STORIES = {
    "happy_path": ("confirmed", "captured", 1, TOTAL, 0),
    "decline_then_success": ("confirmed", "captured", 2, TOTAL, 0),
    "cancelled_before_payment": ("cancelled", None, 0, 0, 0),
    "cancelled_after_payment": ("cancelled", "refunded", 1, TOTAL, TOTAL),
    "cancelled_at_once": ("cancelled", None, 0, 0, 0),
    "capture_failed": ("cancelled", "capture_failed", 1, 0, 0),
}
"""The order and its latest payment at the end, attempts, captured, refunded."""


@every_telling
@pytest.mark.parametrize("name", STORIES)
async def test_the_money_ends_as_the_story_tells(payer: Payer, telling: Telling, name: str) -> None:
    story = load_story(f"{name}.jsonl")
    if name == "capture_failed":
        payer.card = CAPTURE_FAILS
    await replay(payer.service, story.name, cues=payer.cues, shuffled=telling.shuffled, duplicated=telling.duplicated)

    books = await at_rest(payer)
    published = facts_of(payer.service.outgoing(), without=["refund_id"])
    assert published == facts_of(story.said_by("payment"), without=["refund_id"])
    [order] = books["orders"]
    end = tuple(order[field] for field in ("state", "payment_state", "attempts", "captured", "refunded"))
    assert end == STORIES[name]
    assert order["held"] == order["refunding"] == 0
    assert books["breaches"] == books["open_authorizations"] == []
    assert all(sum(accounts.values()) == 0 for accounts in books["ledger"].values())
    assert not payer.service.dead_letters()


async def test_an_order_that_was_rejected_is_never_known_here(payer: Payer, store_url: str) -> None:
    assert await replay(payer.service, "shortage.jsonl", cues=payer.cues) == []
    assert (await at_rest(payer))["orders"] == []


async def at_rest(payer: Payer) -> Any:
    """The books, once the provider has answered everything and all of it is published."""

    async def answered() -> bool:
        return not (await payer.get("/payments/audit"))["operations_pending"]

    await wait_until(answered, message="the provider still has something to answer")
    await payer.service.settled()
    orders = (await payer.get("/payments/audit/orders"))["items"]
    return {**await payer.get("/payments/audit"), "orders": orders}
