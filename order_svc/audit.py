"""order_svc's figures for an audit: every order, and what its own records say against it.

An order, its timeline and its events are read in one statement, so they are of one moment even on a busy store.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy.engine import RowMapping
from starlette.responses import Response

from chassis.audit_routes import PageCut, Running, as_json
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


@router.get("/orders", response_model=Page[OrderFigures])
async def read_orders(principal: Operator, runtime: Running, cut: PageCut) -> Response:
    """Every order, by id."""
    kept_since = runtime.clock.now() - runtime.retention.outbox
    return as_json(await order_page(runtime.reader, cut, events_since=kept_since))


async def order_page(reader: Reader, cut: Cut, *, events_since: datetime) -> Page[OrderFigures]:
    """A page of orders. Events of orders placed before `events_since` may be pruned and are not looked at."""
    rows = await reader.all(cut.of(sa.select(orders), orders.c.id))
    if not rows:
        return Page(items=[], next=None)
    ids = [row["id"] for row in rows]
    records = {row["id"]: _Record(row) for row in rows}
    for row in await reader.all(_HISTORY, {"first": ids[0], "last": ids[-1]}):
        if row["id"] in records:
            records[row["id"]].take(row)
    return Page(items=[record.figures(events_since) for record in records.values()], next=cut.next(ids))


def _history() -> sa.CompoundSelect[Any]:
    """The timeline entries and events of a range of orders, each with the order as it was at that moment."""
    o, outbox = orders.c, RUNTIME.outbox
    wanted = o.id.between(sa.bindparam("first"), sa.bindparam("last"))
    order = (o.id, o.status, o.version, o.entries)
    entry = (sa.literal(False).label("is_event"), timeline.c.seq.label("n"), timeline.c.status.label("what"))
    event = (sa.literal(True).label("is_event"), outbox.c.aggregate_version.label("n"), outbox.c.type.label("what"))
    return sa.union_all(
        sa.select(*order, *entry, timeline.c.at).outerjoin(timeline, timeline.c.order_id == o.id).where(wanted),
        sa.select(*order, *event, outbox.c.created_at).join(outbox, outbox.c.correlation_id == o.id).where(wanted),
    )


_HISTORY: Final = _history()


class _Record:
    """All that is written about one order."""

    def __init__(self, row: RowMapping) -> None:
        self._row = row
        self._moved_at: datetime = row["placed_at"]
        self._order: tuple[OrderStatus, int, int] = (S(row["status"]), row["version"], row["entries"])
        """Status, version and number of entries at the moment the history is of."""
        self._entries: list[tuple[int, OrderStatus]] = []
        self._events: list[tuple[int, str]] = []

    def take(self, row: RowMapping) -> None:
        """An entry or event, or the sign that there is no entry."""
        self._order = (S(row["status"]), row["version"], row["entries"])
        if row["is_event"]:
            self._events.append((row["n"], row["what"]))
        elif row["n"] is not None:
            self._entries.append((row["n"], S(row["what"])))
            self._moved_at = max(self._moved_at, row["at"])

    def figures(self, events_since: datetime) -> OrderFigures:
        """The order, and what its records say against it."""
        row = self._row
        flaws = [*self._timeline_flaws(), *self._total_flaws()]
        if row["placed_at"] > events_since:
            flaws += self._event_flaws()
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
            moved_at=self._moved_at,
            deadline_at=row["deadline_at"],
            lines=[QuantityLine(sku=line["sku"], quantity=line["quantity"]) for line in row["lines"]],
            flaws=flaws,
        )

    def _total_flaws(self) -> Iterator[str]:
        total = sum(line["unit_price"] * line["quantity"] for line in self._row["lines"])
        if total != self._row["total_amount"]:
            yield f"its lines are worth {total}, its total is {self._row['total_amount']}"

    def _timeline_flaws(self) -> Iterator[str]:
        """1, 2, 3 … without a hole, from pending on along the transitions, ending where the order is."""
        status, _, number = self._order
        self._entries.sort()
        if [seq for seq, _ in self._entries] != list(range(1, number + 1)):
            yield f"its timeline is not 1 to {number}"
            return
        statuses = [entry for _, entry in self._entries]
        if not statuses or statuses[0] is not S.PENDING or statuses[-1] is not status:
            yield f"its timeline does not lead from pending to {status.value}"
        for before, after in pairwise(statuses):
            # One fact may be two moves: a capture that overtook its authorisation confirms, too.
            if before is not after and not TRANSITIONS.leads_to(before, after):
                yield f"its timeline goes from {before.value} to {after.value}"

    def _event_flaws(self) -> Iterator[str]:
        """As many events as versions, numbered without a hole, and they explain the status move by move."""
        status, version, _ = self._order
        self._events.sort()
        if [number for number, _ in self._events] != list(range(1, version + 1)):
            yield f"its events are not versions 1 to {version}"
            return
        reached: OrderStatus | None = None
        for _, wire_name in self._events:
            after = _ENDS_IN[wire_name]
            if after is S.CANCELLED and reached is S.PAID:
                after = S.REFUNDING  # cancelled after payment: the event says so with `refund`
            if (reached is None and after is not S.PENDING) or (reached and not TRANSITIONS.allows(reached, after)):
                yield f"its events go from {reached.value if reached else 'nothing'} to {after.value}"
            reached = after
        if reached is not status:
            yield f"it is {status.value}, but its events end with {reached.value if reached else 'nothing'}"
