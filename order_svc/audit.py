"""order_svc's figures for an audit: every order, and what its own records say against it.

An order, its timeline and its events are read in one statement, so they are of one moment even on a busy store.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy.engine import RowMapping

from chassis.audit_routes import PageCut, Running
from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer
from chassis.figures import Cut, MessageFigures, Page, message_figures
from contracts.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderFulfilled,
    OrderPaid,
    OrderPaymentRequested,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from order_svc.domain.order import TRANSITIONS, OrderStatus
from order_svc.store import RUNTIME, orders, timeline

S = OrderStatus
_ENDS_IN: Final[Mapping[str, OrderStatus]] = {
    OrderPlaced.wire_name: S.PENDING,
    OrderPaymentRequested.wire_name: S.AWAITING_PAYMENT,
    OrderConfirmed.wire_name: S.CONFIRMED,
    OrderPaid.wire_name: S.PAID,
    OrderRejected.wire_name: S.REJECTED,
    OrderCancelled.wire_name: S.CANCELLED,
    OrderFulfilled.wire_name: S.FULFILLED,
    OrderRefunded.wire_name: S.REFUNDED,
}


class QuantityLine(Answer):
    sku: str
    quantity: int


class OrderFigures(Answer):
    """One order; amounts in minor units of `currency`. `flaws`: where its own records contradict each other."""

    id: UUID
    user_id: UUID
    status: OrderStatus
    version: int
    currency: str
    total: int
    captured: int
    refunded: int
    payment_id: UUID | None
    placed_at: datetime
    moved_at: datetime
    deadline_at: datetime | None
    lines: list[QuantityLine]
    flaws: list[str]


class OrderAudit(MessageFigures):
    service: str = "order"
    at: datetime
    orders_by_status: dict[str, int]


router = APIRouter(prefix="/orders/audit", tags=["audit"])


@router.get("")
async def read_figures(principal: Operator, runtime: Running) -> OrderAudit:
    """Counts, and what waits to be sent."""
    counted = sa.select(orders.c.status.label("name"), sa.func.count().label("rows")).group_by("name").order_by("name")
    return OrderAudit(
        at=runtime.clock.now(),
        orders_by_status={row["name"]: row["rows"] for row in await runtime.reader.all(counted)},
        **dict(await message_figures(runtime)),
    )


@router.get("/orders")
async def read_orders(principal: Operator, runtime: Running, cut: PageCut) -> Page[OrderFigures]:
    """Every order, by id."""
    kept_since = runtime.clock.now() - runtime.retention.outbox
    return await order_page(runtime.reader, cut, events_since=kept_since)


async def order_page(reader: Reader, cut: Cut, *, events_since: datetime) -> Page[OrderFigures]:
    """A page of orders. Events of orders placed before `events_since` may be pruned and are not looked at."""
    records = _records(await reader.all(_history(cut)))
    ids = sorted(records)
    if not ids:
        return Page(items=[], next=None)
    lines = sa.select(orders.c.id, orders.c.lines).where(orders.c.id.between(ids[0], ids[-1]))
    for row in await reader.all(lines):  # lines never change, so they may be of another moment
        if row["id"] in records:
            records[row["id"]].lines = row["lines"]
    return Page(items=[records[id_].figures(events_since) for id_ in ids], next=cut.next(ids))


_COLUMNS: Final = tuple(column for column in orders.c if column.name != "lines")


def _history(cut: Cut) -> sa.CompoundSelect[Any]:
    """Each order's row, timeline entries and events, as rows of three kinds."""
    page = cut.of(sa.select(*_COLUMNS), orders.c.id).cte("page")
    outbox = RUNTIME.outbox
    absent = [sa.cast(sa.null(), column.type).label(column.name) for column in _COLUMNS if column.name != "id"]

    def rows(kind: str, n: Any, what: Any, at: Any, *columns: Any) -> sa.Select[Any]:
        named = (sa.literal(kind).label("kind"), n.label("n"), what.label("what"), at.label("at"))
        return sa.select(*named, page.c.id, *columns)

    return sa.union_all(
        rows("order", page.c.version, page.c.status, page.c.placed_at, *(page.c[c.name] for c in _COLUMNS[1:])),
        rows("entry", timeline.c.seq, timeline.c.status, timeline.c.at, *absent).join(
            timeline, timeline.c.order_id == page.c.id
        ),
        rows("event", outbox.c.aggregate_version, outbox.c.type, outbox.c.created_at, *absent).join(
            outbox, outbox.c.correlation_id == page.c.id
        ),
    )


def _records(rows: Sequence[RowMapping]) -> dict[UUID, "_Record"]:
    found: dict[UUID, _Record] = defaultdict(_Record)
    for row in rows:
        record = found[row["id"]]
        match row["kind"]:
            case "order":
                record.row = row
            case "entry":
                record.entries.append((row["n"], row["what"]))
                record.moved_at.append(row["at"])
            case _:
                record.events.append((row["n"], row["what"]))
    return found


@dataclass(slots=True)
class _Record:
    """All that is written about one order, unsorted."""

    row: RowMapping | dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    entries: list[tuple[int, str]] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    moved_at: list[datetime] = field(default_factory=list)

    def figures(self, events_since: datetime) -> OrderFigures:
        row = self.row
        return OrderFigures(
            id=row["id"],
            user_id=row["user_id"],
            status=row["status"],
            version=row["version"],
            currency=row["currency"],
            total=row["total_amount"],
            captured=row["captured_amount"],
            refunded=row["refunded_amount"],
            payment_id=row["payment_id"],
            placed_at=row["placed_at"],
            moved_at=max(self.moved_at, default=row["placed_at"]),
            deadline_at=row["deadline_at"],
            lines=[QuantityLine(sku=line["sku"], quantity=line["quantity"]) for line in self.lines],
            flaws=[*self._timeline_flaws(), *self._total_flaws(), *self._event_flaws(events_since)],
        )

    def _total_flaws(self) -> Iterator[str]:
        total = sum(line["unit_price"] * line["quantity"] for line in self.lines)
        if total != self.row["total_amount"]:
            yield f"its lines are worth {total}, its total is {self.row['total_amount']}"

    def _timeline_flaws(self) -> Iterator[str]:
        """1, 2, 3 … without a hole, from pending on along the transitions, ending where the order is."""
        self.entries.sort()
        if [seq for seq, _ in self.entries] != list(range(1, self.row["entries"] + 1)):
            yield f"its timeline is not 1 to {self.row['entries']}"
            return
        statuses = [S(status) for _, status in self.entries]
        if not statuses or statuses[0] is not S.PENDING or statuses[-1] is not self.row_status:
            yield f"its timeline does not lead from pending to {self.row_status.value}"
        for before, after in pairwise(statuses):
            # One fact may be two moves: a capture that overtook its authorisation confirms, too.
            if before is not after and not TRANSITIONS.leads_to(before, after):
                yield f"its timeline goes from {before.value} to {after.value}"

    def _event_flaws(self, events_since: datetime) -> Iterator[str]:
        """As many events as versions, numbered without a hole, and they explain the status move by move."""
        if self.row["placed_at"] <= events_since:
            return
        self.events.sort()
        if [version for version, _ in self.events] != list(range(1, self.row["version"] + 1)):
            yield f"its events are not versions 1 to {self.row['version']}"
            return
        status: OrderStatus | None = None
        for _, wire_name in self.events:
            after = _ENDS_IN[wire_name]
            if after is S.CANCELLED and status is S.PAID:
                after = S.REFUNDING  # cancelled after payment: the event says so with `refund`
            if (status is None and after is not S.PENDING) or (status and not TRANSITIONS.allows(status, after)):
                yield f"its events go from {status.value if status else 'nothing'} to {after.value}"
            status = after
        if status is not self.row_status:
            yield f"it is {self.row_status.value}, but its events end with {status.value if status else 'nothing'}"

    @property
    def row_status(self) -> OrderStatus:
        return S(self.row["status"])
