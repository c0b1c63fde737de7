"""What one look has seen so far: takes the figures as they are read, runs the checks over them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta
from typing import Final

from ops.audit import messages, orders, people
from ops.audit.findings import Check, Finding, Kind, Look, excused
from ops.audit.keys import HOUR, MARGIN, KeyBook
from ops.audit.messages import Gap
from ops.audit.orders import Chunk, ProviderBooks, Sums
from ops.audit.source import BrokerFigures, Row

MAX_OPERATION_AGE: Final = timedelta(minutes=10)
"""How long the provider may take to answer; it is asked again at least every five minutes."""


def take_made(keys: Mapping[str, KeyBook], chunk: Chunk) -> None:
    """Let the books have the orders and payments of a range of ids."""
    for order in chunk.orders:
        keys["order"].take_made(order["id"], datetime.fromisoformat(order["placed_at"]))
    for row in chunk.money:
        for payment in row["payments"]:
            keys["payment"].take_made(payment["id"], datetime.fromisoformat(payment["created_at"]))


class Tally:
    """One look in the making. Feed it in the order of its methods; `look` is what came of it.

    `summaries` are the services' answers at `/audit`. `keys`, by service, have taken their keys, but not yet what those
    made. `books` are the provider's own, None if they cannot be had.
    """

    def __init__(self, summaries: Mapping[str, Row], keys: Mapping[str, KeyBook], books: ProviderBooks | None) -> None:
        self.summaries = summaries
        self.now = max(datetime.fromisoformat(summary["at"]) for summary in summaries.values())
        self.messages_since = self._compared_since()
        self.keys_since = max(book.kept_since for book in keys.values()) + MARGIN
        self.buyers: dict[str, str] = {}
        """The user of each order seen, with one of their orders."""
        self._keys = keys
        self._books = books
        self._findings: list[Finding] = []
        self._compared: Counter[Check] = Counter()
        self._under_way: set[str] = set()
        self._sums: Sums = Counter()
        self._take_summaries()

    def _compared_since(self) -> datetime:
        """The first full hour from which every outbox is complete."""
        kept = max(datetime.fromisoformat(summary["kept_since"]) for summary in self.summaries.values())
        return datetime.fromtimestamp((int((kept + MARGIN).timestamp()) // HOUR + 1) * HOUR, kept.tzinfo)

    def _take_summaries(self) -> None:
        catalog, payment = self.summaries["catalog"], self.summaries["payment"]
        for service, summary in self.summaries.items():
            outbox = summary["outbox"]
            self._add(Check.OUTBOX, outbox["pending"] + outbox["parked"], messages.outbox(service, outbox, self.now))
            self._under_way |= {row["about"] for row in outbox["rows"] if not row["parked"]}
        self._add(Check.STOCK, len(catalog["stock"]), orders.stock(catalog))
        self._add(Check.LEDGER, 0, orders.balances(payment))
        self._add(Check.IDENTITY, self.summaries["auth"]["open_sessions"], people.sessions(self.summaries["auth"]))
        self._add(Check.OPERATIONS, len(payment["operations_pending"]), self._operations(payment))

    def _operations(self, payment: Row) -> Iterable[Finding]:
        for row in payment["operations_pending"]:
            age = self.now - datetime.fromisoformat(row["created_at"])
            late = age > MAX_OPERATION_AGE
            if not late:
                self._under_way.add(row["order_id"])
            yield Finding(
                Check.OPERATIONS,
                f"the provider has not answered {row['id']}",
                (row["order_id"], row["payment_id"]),
                Kind.BREACH if late else Kind.MOVING,
                max(0, int(age.total_seconds())),
            )
        for refund_id in payment["refunds_failed"]:
            text = f"the provider refused refund {refund_id}"
            yield Finding(Check.OPERATIONS, text, (refund_id,), Kind.NOTE)

    def take(self, chunk: Chunk) -> None:
        """All orders of a range of ids, with what the other services have about them."""
        number = len(chunk.orders)
        payments = sum(len(row["payments"]) for row in chunk.money)
        self._add(Check.ORDERS, number, orders.orders(chunk))
        self._add(Check.DEADLINES, number, orders.deadlines(chunk, self.now))
        self._add(Check.RESERVATIONS, len(chunk.reservations), orders.reservations(chunk))
        self._add(Check.MONEY, number, orders.money(chunk))
        self._add(Check.LEDGER, payments, orders.ledger(chunk))
        if self._books is not None:
            self._add(Check.PROVIDER, payments, orders.provider(chunk, self._books))
        orders.add_up(self._sums, chunk)
        for order in chunk.orders:
            self.buyers.setdefault(order["user_id"], order["id"])
        take_made(self._keys, chunk)

    def take_users(self, known: Iterable[str]) -> None:
        """Every account there ever was."""
        self._add(Check.IDENTITY, len(self.buyers), people.buyers(self.buyers, frozenset(known)))

    def take_messages(self, compared: int, gaps: Iterable[Gap], broker: BrokerFigures | None) -> None:
        """Where two services' ids differ, and the broker's figures, read after those."""
        judged = messages.judged(gaps, broker, self._discarded(), self.now)
        self._add(Check.MESSAGES, compared, judged)
        self._under_way |= {finding.ids[-1] for finding in judged if finding.kind is Kind.MOVING}
        if broker is not None:
            self._add(Check.BROKER, len(broker.consumers), messages.queues(broker))

    def _discarded(self) -> Mapping[str, Set[str]]:
        """By service the events whose dead letter an operator threw away."""
        told = {service: summary["discarded"] for service, summary in self.summaries.items()}
        return {
            service: {event_id for ids in by_type.values() for event_id in ids} for service, by_type in told.items()
        }

    def take_named(self, keys: Mapping[str, KeyBook]) -> None:
        """The books again, with the ids of the hours in which both sides differed; both were read anew."""
        self._keys = keys

    def look(self) -> Look:
        """What is left to compare when all is read; sums only if nothing is under way, for they hold at rest only."""
        for book in self._keys.values():
            self._add(Check.KEYS, book.read, book.findings(self.keys_since))
        if self._books is not None:
            self._add(Check.PROVIDER, 0, orders.rest_of_books(self._books))
        unlisted = any(finding.check is Check.OUTBOX and not finding.ids for finding in self._findings)
        if not self._under_way and not unlisted:
            self._add(Check.MONEY, 0, orders.totals(self._sums, self.summaries["payment"]))
        return Look(
            findings=excused(self._findings, None if unlisted else self._under_way),
            compared=dict(self._compared),
            messages_since=self.messages_since,
            keys_since=self.keys_since,
            at=self.now,
        )

    def _add(self, check: Check, compared: int, findings: Iterable[Finding]) -> None:
        self._compared[check] += compared
        self._findings += findings
