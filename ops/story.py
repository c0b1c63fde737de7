"""The story of one order, joined from order_svc's timeline and the events of all services in the journal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.table import Table
from rich.text import Text

from chassis.transport.amqp import JournalUnavailableError
from contracts.envelope import Envelope
from ops.console import COLOURS
from ops.shop_api import ShopApi


async def order_story(shop: ShopApi, order_id: UUID) -> dict[str, Any] | None:
    """Status, total and steps of an order; None if there is none.

    A step is an event (from the journal) or, without a broker to ask, an entry of order_svc's timeline.
    """
    answer = await shop.get("order", f"/orders/{order_id}")
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    order = answer.json()
    total = order["total"]
    try:
        events, unread = await shop.conversation(order_id), ""
    except JournalUnavailableError as error:
        events, unread = [], str(error)
    steps = await _steps(shop, order_id, events)
    return {
        "id": order["id"],
        "status": order["status"],
        "status_reason": order["status_reason"],
        "total": f"{total['amount'] / 100:.2f} {total['currency']}",
        "correlation": order["id"],
        "journal_error": unread,
        "seconds": sum(step["ms"] for step in steps) / 1000,
        "steps": steps,
    }


async def _steps(shop: ShopApi, order_id: UUID, conversation: Sequence[Envelope]) -> list[dict[str, Any]]:
    entries = (await shop.get("order", f"/orders/{order_id}/timeline")).raise_for_status().json()["items"]
    texts = {entry["event"]: entry["text"] for entry in entries}
    events = {envelope.id: envelope for envelope in conversation}
    if not events:
        return _timed([{**entry, "id": None, "cause": None} for entry in entries])
    ordered = sorted(events.values(), key=lambda envelope: (envelope.time, envelope.id))
    return _timed(
        [
            {
                "at": envelope.time.isoformat(),
                "service": envelope.source.strip("/"),
                "event": envelope.type,
                "text": texts.get(envelope.type.rpartition(".")[0], ""),
                "id": str(envelope.id),
                "cause": str(envelope.causationid) if envelope.causationid else None,
            }
            for envelope in ordered
        ]
    )


def _timed(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each step with the milliseconds since the one before."""
    previous: datetime | None = None
    for step in steps:
        at = datetime.fromisoformat(step["at"])
        step["ms"] = round((at - previous).total_seconds() * 1000) if previous else 0
        previous = at
    return steps


def story_table(story: dict[str, Any]) -> Table:
    """The steps for a person."""
    table = Table("#", "when", "+ms", "service", box=None, padding=(0, 2, 0, 0))
    table.add_column("event", no_wrap=True)
    table.add_column("after")
    table.add_column("what it meant")
    number = {step["id"]: str(at) for at, step in enumerate(story["steps"], 1) if step["id"]}
    for at, step in enumerate(story["steps"], 1):
        table.add_row(
            str(at),
            step["at"][11:23],
            str(step["ms"]),
            Text(step["service"], style=COLOURS.get(step["service"], "white")),
            step["event"],
            number.get(step["cause"], ""),
            step["text"],
        )
    return table
