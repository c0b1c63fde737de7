"""What must be true when a world has come to rest: the shop's own audit, and what its people remember."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from chassis.topology import dead_queue
from contracts.catalog import StockAdjusted
from contracts.order import OrderConfirmed
from ops.audit.source import Row, rows
from payment_svc.providers.port import IntentStatus
from tests.simulation.books import WorldSource, audit_of
from tests.simulation.person import Intent
from tests.simulation.processes import SERVICES
from tests.simulation.stores import disk
from tests.simulation.world import World

ADJUSTED: Final = StockAdjusted.wire_name
_CONFIRMED: Final = "SELECT correlation_id FROM outbox WHERE type = ?"
ENDS: Final = frozenset({"paid", "fulfilled", "rejected", "cancelled", "refunded"})


async def check(world: World) -> None:
    """Report everything that is wrong."""
    for finding in [*await audit_of(world), *_dead_letters(world)]:
        world.found(finding)
    source = WorldSource(world)
    orders = {order["id"]: order for order in await rows(source, "order", "/orders")}
    _check_purchases(world, orders)
    _check_repetitions(world)
    _check_ends(world)
    _check_provider(world, orders, await rows(source, "payment", "/orders"))
    _check_stock(world)
    _check_projection(world)
    _check_timelines(world)


def _dead_letters(world: World) -> Iterator[str]:
    """There are none: no handler has a bug, and no process dies of a message."""
    for service in SERVICES:
        for letter in world.broker.ready(dead_queue(service)):
            headers, message = letter.headers(), letter.outgoing
            reason = headers.get("error-message") or headers.get("x-first-death-reason")
            what = f"{message.type} [{message.message_id[-4:]}] of order {message.correlation_id}"
            yield f"{service} gave up on {what}: {reason}"


def _check_purchases(world: World, orders: dict[str, Any]) -> None:
    """An order exists once if its customer was told so, at most once otherwise, and none exists that nobody placed."""
    told: Counter[str] = Counter()
    for customer in world.customers:
        for intent in customer.purchases:
            done = intent.done
            if done is None:
                continue
            id = done.json["id"]
            told[id] += 1
            if id not in orders:
                world.found(f"{intent.who} was told 201 for order {id}, which does not exist")
            elif _basket(orders[id]) != _basket(done.json):
                world.found(f"order {id} is not what {intent.who} was told")
    for id, times in told.items():
        if times > 1:
            world.found(f"order {id} is the answer to {times} different requests")
    if len(orders) > len(told):
        world.found(f"nobody was ever told of the orders {sorted(orders.keys() - told.keys())}")


def _check_repetitions(world: World) -> None:
    """One key, one answer, to the last byte, and for one body only."""
    takers: dict[tuple[str, str], Intent] = {}
    for intent in (intent for person in world.people for intent in person.intents):
        successes = [answer for answer in intent.answers if answer.status == 201]
        if len({answer.body for answer in successes}) > 1:
            texts = " / ".join(answer.body.decode() for answer in successes)
            world.found(f"{intent.who} {intent.what}: repeated, answered differently: {texts}")
        if successes and takers.setdefault((intent.who, intent.key), intent) is not intent:
            world.found(f"{intent.who} {intent.what}: the same key took two bodies; order {intent.order_id}")
        if intent.open:
            last = intent.answers[-1].body.decode() if intent.answers else "nothing"
            world.found(f"{intent.who} {intent.what}: never answered clearly, last {last}; order {intent.order_id}")


def _check_ends(world: World) -> None:
    """Every order has ended, and its reservation with it: by a decision, never by the backstop's expiry."""
    rows = disk("catalog").connection.execute("SELECT order_id, state FROM reservations")
    reservations = dict(rows.fetchall())
    for id, status, reason in disk("order").connection.execute("SELECT id, status, status_reason FROM orders"):
        if status not in ENDS:
            world.found(f"order {UUID(id)} ends {status}")
        elif reservations.get(id) != _ends_as(status, reason):
            world.found(f"order {UUID(id)} is {status}, its reservation {reservations.get(id)}")


def _ends_as(status: str, reason: str | None) -> str:
    match status:
        case "rejected":
            return "rejected"
        case "cancelled":
            return "released"
        case "refunded" if reason is not None:
            return "released"
        case _:
            return "committed"


def _check_provider(world: World, orders: dict[str, Any], payments: list[Row]) -> None:
    """The provider's books and payment_svc's are the same; no order was charged twice, or before it was confirmed."""
    ours = {row["order_id"]: row for row in payments}
    confirmed = {UUID(row[0]) for row in disk("order").connection.execute(_CONFIRMED, [OrderConfirmed.wire_name])}
    for order_id, intents in world.provider.books().items():
        id = str(order_id)
        if sum(intent.captures for intent in intents) > 1:
            world.found(f"order {id} was charged {sum(intent.captures for intent in intents)} times by the provider")
        if order_id not in confirmed and any(intent.captures for intent in intents):
            world.found(f"order {id} was charged, and never confirmed")
        theirs = (sum(intent.captured for intent in intents), sum(intent.refunded for intent in intents))
        row = ours.get(id)
        if row is None or theirs != (row["captured"], row["refunded"]):
            world.found(f"order {id}: the provider took and gave back {theirs}, payment_svc says {row}")
        held = sum(intent.amount.amount for intent in intents if intent.status is IntentStatus.AUTHORIZED)
        if held:
            world.found(f"order {id}: the provider still holds {held} on the card, {orders.get(id, {}).get('status')}")


def _check_stock(world: World) -> None:
    for sku, reserved in disk("catalog").connection.execute("SELECT sku, reserved FROM stock WHERE reserved != 0"):
        world.found(f"{sku}: {reserved} are still held, and every order has ended")


def _check_projection(world: World) -> None:
    """What order_svc sells by is what the catalogue says."""
    said = disk("catalog").connection.execute(
        "SELECT sku, title, price_amount, status = 'listed', version FROM products ORDER BY sku"
    )
    kept = disk("order").connection.execute(
        "SELECT sku, title, price_amount, orderable, version FROM products ORDER BY sku"
    )
    if (theirs := said.fetchall()) != (ours := kept.fetchall()):
        world.found(f"the catalogue says {theirs}, order_svc sells {ours}")


def _check_timelines(world: World) -> None:
    """Every fact the others told of an order stands in its timeline, once."""
    handled = {event_id for (event_id,) in disk("order").connection.execute("SELECT event_id FROM inbox")}
    facts: Counter[str] = Counter()
    for service in ("catalog", "payment"):
        rows = disk(service).connection.execute("SELECT correlation_id, event_id, type FROM outbox")
        about_orders = (row for row in rows if row[2].startswith(("stock.", "payment.")) and row[2] != ADJUSTED)
        facts.update(order_id for order_id, event_id, _ in about_orders if event_id in handled)
    entries: Counter[str] = Counter()
    noted = "SELECT order_id FROM order_timeline WHERE service IN ('catalog', 'payment')"
    entries.update(order_id for (order_id,) in disk("order").connection.execute(noted))
    for order_id in sorted(facts.keys() | entries.keys()):
        if facts[order_id] != entries[order_id]:
            found = f"{entries[order_id]} times in its timeline, {facts[order_id]} facts were told"
            world.found(f"order {UUID(order_id)}: the others are {found}")


def _basket(order: dict[str, Any]) -> list[tuple[str, int]]:
    return sorted((line["sku"], line["quantity"]) for line in order["lines"])
