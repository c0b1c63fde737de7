"""The conservation audit: do stock, money and messages add up across the services? Read-only, over their HTTP figures.

It holds at rest: nothing in an outbox or queue, no provider call under way, no order past a deadline. What is still
moving is not an error, so `settled` says whether the shop is at rest, and `breaches` are to be believed when it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from contracts.registry import SERVICES

Figures = Mapping[str, Any]
"""Per service its `/audit` document; `dead` under `broker`: messages in each service's dead queue."""

HOLDS_STOCK: Final = {"held": {"pending", "awaiting_payment"}, "committed": {"confirmed", "paid", "fulfilled"}}
KEEPS_MONEY: Final = {"paid", "fulfilled"}
MOVING: Final = {"confirmed", "refunding"}


def moving(figures: Figures) -> list[str]:
    """What is still under way; empty at rest."""
    found = [
        f"{service}: {document['outbox']['pending']} events not yet confirmed by the broker"
        for service, document in figures.items()
        if service in SERVICES and document["outbox"]["pending"]
    ]
    found += [f"order {order['id']} is {order['status']}" for order in _orders(figures) if order["status"] in MOVING]
    found += [f"order {order['id']} is pending" for order in _orders(figures) if order["status"] == "pending"]
    found += [
        f"payment operation {operation['id']} is not answered yet"
        for operation in figures["payment"]["operations_pending"]
    ]
    found += _message_gaps(figures)
    return found


def breaches(figures: Figures) -> list[str]:
    """What does not add up, one sentence each with the ids it is about; empty if all is well."""
    return [*_stock(figures), *_reservations(figures), *_money(figures), *_ledger(figures), *_parked(figures)]


def _orders(figures: Figures) -> list[Mapping[str, Any]]:
    orders: list[Mapping[str, Any]] = figures["order"]["orders"]
    return orders


def _stock(figures: Figures) -> Iterator[str]:
    """Per SKU: received = available + reserved + sold, and every count is the sum of its ledger."""
    lines: dict[str, Counter[str]] = {"held": Counter(), "committed": Counter()}
    for reservation in figures["catalog"]["orders"]:
        lines[reservation["state"]].update(_quantities(reservation["lines"]))
    for row in figures["catalog"]["stock"]:
        sku = row["sku"]
        if not row["balanced"]:
            yield f"{sku}: the counts are not the sums of the stock ledger"
        if row["available"] < 0 or row["received"] != row["available"] + row["reserved"] + row["sold"]:
            yield f"{sku}: received {row['received']} is not available + reserved + sold"
        for count, state in (("reserved", "held"), ("sold", "committed")):
            if row[count] != lines[state][sku]:
                yield f"{sku}: {count} is {row[count]}, but {state} reservations have {lines[state][sku]}"


def _reservations(figures: Figures) -> Iterator[str]:
    """Stock is held or sold for exactly the orders that should have it, line by line."""
    reservations = {row["order_id"]: row for row in figures["catalog"]["orders"]}
    orders = {order["id"]: order for order in _orders(figures)}
    for order_id, reservation in reservations.items():
        order = orders.get(order_id)
        if order is None:
            yield f"order {order_id}: stock is {reservation['state']} for an order nobody placed"
        elif order["status"] not in HOLDS_STOCK[reservation["state"]] and not _refunded_after_sale(order):
            yield f"order {order_id}: stock is {reservation['state']}, but the order is {order['status']}"
        elif _quantities(order["lines"]) != _quantities(reservation["lines"]):
            yield f"order {order_id}: its lines and its reservation differ"
    for order in orders.values():
        needs = next((state for state, statuses in HOLDS_STOCK.items() if order["status"] in statuses), None)
        if needs and order["status"] != "pending" and order["id"] not in reservations:
            yield f"order {order['id']} is {order['status']}, but no stock is {needs} for it"


def _refunded_after_sale(order: Mapping[str, Any]) -> bool:
    """An operator gave the money of a kept order back: the goods stay sold."""
    return bool(order["status"] == "refunded")


def _money(figures: Figures) -> Iterator[str]:
    """Per order: captured at most once, all of it if paid, nothing kept otherwise; both services agree."""
    payments = {row["order_id"]: row for row in figures["payment"]["orders"]}
    for order in _orders(figures):
        money = payments.pop(order["id"], None)
        captured, refunded = (money["captured"], money["refunded"]) if money else (0, 0)
        if money and money["captures"] > 1:
            yield f"order {order['id']} was captured {money['captures']} times"
        if (order["captured"], order["refunded"]) != (captured, refunded):
            yield f"order {order['id']}: order_svc and payment_svc differ about what was captured and refunded"
        if order["status"] in KEEPS_MONEY and captured != order["total"]:
            yield f"order {order['id']} is {order['status']}, but {captured} of {order['total']} was captured"
        if order["status"] not in KEEPS_MONEY | MOVING and captured != refunded:
            yield f"order {order['id']} is {order['status']}, but {captured - refunded} was kept"
        if money and money["held"] and order["status"] not in {"awaiting_payment", *MOVING}:
            yield f"order {order['id']} is {order['status']}, but {money['held']} is still authorised"
    yield from (f"payment_svc knows order {order_id}, order_svc does not" for order_id in payments)


def _ledger(figures: Figures) -> Iterator[str]:
    yield from figures["payment"]["breaches"]
    for currency, accounts in figures["payment"]["ledger"].items():
        if sum(accounts.values()):
            yield f"the payment ledger does not sum to zero in {currency}"


def _parked(figures: Figures) -> Iterator[str]:
    for service in SERVICES:
        if service in figures and figures[service]["outbox"]["parked"]:
            yield f"{service}: {figures[service]['outbox']['parked']} events are parked in the outbox"


def _message_gaps(figures: Figures) -> Iterator[str]:
    """Sent = received, per event type and reader; a dead letter is a message received by nobody."""
    dead = figures.get("broker", {}).get("dead", {})
    for reader, contract in SERVICES.items():
        if reader not in figures:
            continue
        missing = 0
        for event in contract.reads:
            producer = event_owner(event.wire_name)
            if producer in figures:
                sent = figures[producer]["sent"].get(event.wire_name, 0)
                missing += sent - figures[reader]["received"].get(event.wire_name, 0)
        if missing != dead.get(reader, 0):
            letters = dead.get(reader, 0)
            yield f"{reader}: {missing} events were sent and are not handled, {letters} dead letters lie there"


def event_owner(wire_name: str) -> str:
    """The service that publishes an event."""
    return next(name for name, c in SERVICES.items() if wire_name in {e.wire_name for e in c.publishes})


def _quantities(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for line in lines:
        counted[line["sku"]] += line["quantity"]
    return counted
