"""Orders beside what catalog and payment did for them: stock, money, deadlines. Pure: figures in, findings out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ops.audit.findings import Check, Finding, Kind
from ops.audit.source import Row

HOLDS_STOCK: Final = {"held": {"pending", "awaiting_payment"}, "committed": {"confirmed", "paid", "fulfilled"}}
KEEPS_MONEY: Final = {"paid", "fulfilled"}
MAY_HOLD_MONEY: Final = {"awaiting_payment", "confirmed", "refunding"}
UNDER_WAY: Final = {"pending", "confirmed", "refunding"}
"""States an order leaves by itself."""
HAVE_DEADLINES: Final = {"pending", "awaiting_payment"}

DEADLINE_GRACE: Final = timedelta(seconds=30)
"""How long after its deadline an order may still be open."""
MAX_UNDER_WAY: Final = timedelta(minutes=20)
"""How long an order may be in a state it leaves by itself: longer than any retry or call to the provider."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The figures of all orders in a range of ids, from three services."""

    orders: tuple[Row, ...]
    reservations: tuple[Row, ...]
    money: tuple[Row, ...]


def orders(chunk: Chunk) -> Iterator[Finding]:
    """What order_svc's own records say against an order."""
    for order in chunk.orders:
        for flaw in order["flaws"]:
            yield Finding(Check.ORDERS, f"order {order['id']}: {flaw}", (order["id"],))


def deadlines(chunk: Chunk, now: datetime) -> Iterator[Finding]:
    """An order past its deadline is open; an ended one still has a deadline; one has been under way for too long."""
    for order in chunk.orders:
        order_id, status = order["id"], order["status"]
        deadline = datetime.fromisoformat(order["deadline_at"]) if order["deadline_at"] else None
        if deadline and status not in HAVE_DEADLINES:
            yield Finding(Check.DEADLINES, f"order {order_id} is {status} and still has a deadline", (order_id,))
        elif deadline and now > deadline + DEADLINE_GRACE:
            text = f"order {order_id} is {status}, and its deadline has passed"
            yield Finding(Check.DEADLINES, text, (order_id,), seconds=int((now - deadline).total_seconds()))
        elif status in UNDER_WAY:
            age = now - datetime.fromisoformat(order["moved_at"])
            kind = Kind.BREACH if age > MAX_UNDER_WAY and not deadline else Kind.MOVING
            seconds = max(0, int(age.total_seconds()))
            yield Finding(Check.DEADLINES, f"order {order_id} is {status}", (order_id,), kind, seconds)


def reservations(chunk: Chunk) -> Iterator[Finding]:
    """Stock is held or sold for exactly the orders that should have it, line by line; the ledger agrees."""
    placed = {order["id"]: order for order in chunk.orders}
    held = {row["order_id"]: row for row in chunk.reservations if row["state"] in HOLDS_STOCK}
    for row in chunk.reservations:
        for wrong in row["ledger"]:
            text = f"order {row['order_id']}: its reservation is {row['state']}, but of {wrong}"
            yield Finding(Check.RESERVATIONS, text, (row["order_id"],))
        if row["order_id"] not in placed:
            text = f"order {row['order_id']}: catalog_svc has it as {row['state']}, but nobody placed it"
            yield Finding(Check.RESERVATIONS, text, (row["order_id"],), between=True)
    for order_id, order in placed.items():
        difference = _stock_difference(order, held.get(order_id))
        if difference:
            yield Finding(Check.RESERVATIONS, f"order {order_id} {difference}", (order_id,), between=True)


def _stock_difference(order: Row, reservation: Row | None) -> str | None:
    status = order["status"]
    if reservation is None:
        needs = next((state for state, statuses in HOLDS_STOCK.items() if status in statuses), None)
        return f"is {status}, but no stock is {needs} for it" if needs and status != "pending" else None
    state = reservation["state"]
    if status == "refunded" and state == "committed":
        return None  # an operator gave the money of a kept order back: the goods stay sold
    if status not in HOLDS_STOCK[state]:
        return f"is {status}, but stock is {state} for it"
    return "has other lines than its reservation" if _quantities(order) != _quantities(reservation) else None


def _quantities(row: Row) -> Counter[str]:
    return Counter({line["sku"]: line["quantity"] for line in row["lines"]})


def stock(figures: Row) -> Iterator[Finding]:
    """Per product: received = available + reserved + sold, and every count is the sum of its ledger."""
    for row in figures["stock"]:
        sku = row["sku"]
        if not row["balanced"]:
            yield Finding(Check.STOCK, f"{sku}: the counts are not the sums of the stock ledger", (sku,))
        if row["available"] < 0 or row["received"] != row["available"] + row["reserved"] + row["sold"]:
            parts = f"{row['available']} available + {row['reserved']} reserved + {row['sold']} sold"
            yield Finding(Check.STOCK, f"{sku}: received {row['received']} is not {parts}", (sku,))
    for order_id in figures["ledger_orders_unknown"]:
        text = f"order {order_id}: it moved stock in the ledger and has no reservation"
        yield Finding(Check.STOCK, text, (order_id,))


def money(chunk: Chunk) -> Iterator[Finding]:
    """Per order: captured at most once, all of it if paid, nothing kept otherwise; both services agree."""
    paid = {row["order_id"]: row for row in chunk.money}
    for order in chunk.orders:
        order_id, row = order["id"], paid.pop(order["id"], None)
        for difference in _money_differences(order, row):
            yield Finding(Check.MONEY, f"order {order_id} {difference}", (order_id,), between=True)
        if row and row["captures"] > 1:
            payments = tuple(payment["id"] for payment in row["payments"] if payment["captured"])
            yield Finding(Check.MONEY, f"order {order_id} was captured {row['captures']} times", (order_id, *payments))
    for order_id in paid:
        text = f"order {order_id}: payment_svc knows it, order_svc does not"
        yield Finding(Check.MONEY, text, (order_id,), between=True)


def _money_differences(order: Row, row: Row | None) -> Iterator[str]:
    status, total = order["status"], order["total"]
    captured, refunded = (row["captured"], row["refunded"]) if row else (0, 0)
    if (order["captured"], order["refunded"]) != (captured, refunded):
        theirs = f"{captured} captured and {refunded} refunded"
        ours = f"{order['captured']} and {order['refunded']}"
        yield f"has {theirs} in payment_svc, {ours} in order_svc"
    if status in KEEPS_MONEY and captured != total:
        yield f"is {status}, but {captured} of {total} was captured"
    if status not in KEEPS_MONEY | UNDER_WAY and captured != refunded:
        yield f"is {status}, but {captured - refunded} was kept"
    if row and row["held"] and status not in MAY_HOLD_MONEY:
        yield f"is {status}, but {row['held']} is still authorised"
    if row and row["requested"] is not None and (row["requested"], row["currency"]) != (total, order["currency"]):
        yield f"costs {total} {order['currency']}, but {row['requested']} {row['currency']} was asked for"


def ledger(chunk: Chunk) -> Iterator[Finding]:
    """Every payment is what its postings say."""
    for row in chunk.money:
        for payment in row["payments"]:
            for wrong in payment["ledger"]:
                text = f"payment {payment['id']}: {wrong}"
                yield Finding(Check.LEDGER, text, (row["order_id"], payment["id"]))


def balances(figures: Row) -> Iterator[Finding]:
    """What payment_svc finds in its own books, and that they sum to zero."""
    yield from (Finding(Check.LEDGER, text) for text in figures["breaches"])
    for currency, accounts in figures["ledger"].items():
        if sum(accounts.values()):
            yield Finding(Check.LEDGER, f"the payment ledger does not sum to zero in {currency}")


Sums = Counter[tuple[str, str, str]]
"""Minor units by (book, what, currency)."""


def add_up(sums: Sums, chunk: Chunk) -> None:
    """Count a chunk in."""
    currencies = {order["id"]: order["currency"] for order in chunk.orders}
    for order in chunk.orders:
        for what in ("captured", "refunded"):
            sums["order_svc", what, order["currency"]] += order[what]
    for row in chunk.money:
        currency = row["currency"] or currencies.get(row["order_id"], "")
        for what in ("captured", "refunded"):
            sums["payment_svc", what, currency] += row[what]


def totals(sums: Mapping[tuple[str, str, str], int], figures: Row) -> Iterator[Finding]:
    """Σ captured and Σ refunded are the same in all books, per currency. Holds at rest only."""
    posted: dict[str, dict[str, int]] = figures["ledger"]
    for currency in sorted({key[2] for key in sums} | posted.keys()):
        accounts = posted.get(currency, {})
        for what, balance in (("captured", -accounts.get("sales", 0)), ("refunded", accounts.get("refunds", 0))):
            books = {book: sums.get((book, what, currency), 0) for book in ("order_svc", "payment_svc")}
            books["the ledger"] = balance
            if len(set(books.values())) > 1:
                said = ", ".join(f"{amount} in {book}" for book, amount in books.items())
                yield Finding(Check.MONEY, f"Σ {what} {currency}: {said}")


@dataclass(frozen=True, slots=True)
class ProviderBooks:
    """`charges` by our payment id (by the provider's reference, if it names none); what payment_svc found itself."""

    charges: dict[str, Row]
    discrepancies: Sequence[Row]


def provider(chunk: Chunk, books: ProviderBooks) -> Iterator[Finding]:
    """Each payment beside the provider's own row of it, which is taken out of the books."""
    for row in chunk.money:
        for payment in row["payments"]:
            charge = books.charges.pop(payment["id"], None)
            for difference in _provider_differences(payment, charge):
                ids = (row["order_id"], payment["id"])
                yield Finding(Check.PROVIDER, f"payment {payment['id']} {difference}", ids, between=True)


def _provider_differences(payment: Row, charge: Row | None) -> Iterator[str]:
    there = (charge["captured"], charge["refunded"]) if charge else (0, 0)
    if (payment["captured"], payment["refunded"]) != there:
        ours = f"{payment['captured']} captured and {payment['refunded']} refunded"
        yield f"has {ours} here, {there[0]} and {there[1]} at the provider"
    if charge and charge["captures"] > 1:
        yield f"was captured {charge['captures']} times at the provider"


def rest_of_books(books: ProviderBooks) -> Iterator[Finding]:
    """What the provider took for payments we do not have, and what payment_svc wants an operator to decide."""
    for name, charge in books.charges.items():
        if charge["captured"]:
            text = f"payment {name}: the provider took {charge['captured']}, payment_svc does not know it"
            yield Finding(Check.PROVIDER, text, (name,))
    for row in books.discrepancies:
        ids = tuple(row[name] for name in ("order_id", "payment_id", "reference") if row[name])
        text = f"{row['reference']}: {row['difference']} differs at the provider ({row['detail']})"
        kind = Kind.BREACH if row["state"] == "open" else Kind.NOTE
        yield Finding(Check.PROVIDER, text, ids, kind)
