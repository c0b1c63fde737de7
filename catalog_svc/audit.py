"""The catalog's figures for an audit: every unit of stock accounted for, and what was sent and received.

Counts are read with their ledger, and reservations with their movements, in one statement each: what they say together
holds at every moment, also on a busy store.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy.engine import RowMapping
from starlette.responses import Response

from catalog_svc.domain.reservation import ReservationState
from catalog_svc.domain.stock import MovementKind
from catalog_svc.tables import reservations, stock, stock_ledger
from chassis.audit_routes import PageCut, Running, as_json
from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer
from chassis.figures import MAX_LISTED, Cut, MessageFigures, Page, message_figures
from chassis.runtime import Runtime
from contracts.catalog import StockLine


class StockFigures(Answer):
    """The counts of a SKU beside the sums of its ledger; `balanced` if they agree."""

    sku: str
    received: int
    on_hand: int
    reserved: int
    available: int
    sold: int
    ledger_received: int
    ledger_on_hand: int
    ledger_reserved: int
    ledger_sold: int
    balanced: bool


class ReservationFigures(Answer):
    """What the catalog did for one order. `ledger`: its movements in the stock ledger do not add up to this."""

    order_id: UUID
    state: ReservationState
    lines: list[StockLine]
    expires_at: datetime | None
    ledger: list[str]


class CatalogAudit(MessageFigures):
    """`ledger_orders_unknown`: orders that moved stock without a reservation."""

    service: str = "catalog"
    at: datetime
    stock: list[StockFigures]
    reservations_by_state: dict[str, int]
    ledger_orders_unknown: list[UUID]


router = APIRouter(prefix="/catalog/audit", tags=["audit"])


@router.get("")
async def read_figures(principal: Operator, runtime: Running) -> CatalogAudit:
    """Every unit of stock accounted for, and what waits to be sent."""
    return await figures(runtime)


@router.get("/reservations", response_model=Page[ReservationFigures])
async def read_reservations(principal: Operator, runtime: Running, cut: PageCut) -> Response:
    """Every reservation, by its order's id."""
    return as_json(await reservation_page(runtime.reader, cut))


def _sum(value: sa.ColumnElement[int], *kinds: MovementKind) -> sa.ColumnElement[int]:
    counted = sa.case((stock_ledger.c.kind.in_(kinds), value), else_=0) if kinds else value
    return sa.cast(sa.func.sum(counted), sa.BigInteger)


_LEDGER: Final = (
    sa.select(
        stock_ledger.c.sku,
        _sum(stock_ledger.c.on_hand, MovementKind.RECEIVE, MovementKind.ADJUST).label("received"),
        _sum(stock_ledger.c.on_hand).label("on_hand"),
        _sum(stock_ledger.c.reserved).label("reserved"),
        _sum(-stock_ledger.c.on_hand, MovementKind.SELL, MovementKind.RESTOCK).label("sold"),
    )
    .group_by(stock_ledger.c.sku)
    .subquery("ledger")
)
_COUNTS: Final = ("received", "on_hand", "reserved", "sold")
_STOCK: Final = (
    sa.select(
        stock.c.sku,
        *(stock.c[name] for name in _COUNTS),
        *(sa.func.coalesce(_LEDGER.c[name], 0).label(f"ledger_{name}") for name in _COUNTS),
    )
    .outerjoin_from(stock, _LEDGER, stock.c.sku == _LEDGER.c.sku)
    .order_by(stock.c.sku)
)
_STATES: Final = sa.select(reservations.c.state.label("name"), sa.func.count().label("rows")).group_by("name")
_UNKNOWN: Final = (
    sa.select(stock_ledger.c.order_id)
    .distinct()
    .where(
        stock_ledger.c.order_id.isnot(None),
        ~sa.exists().where(reservations.c.order_id == stock_ledger.c.order_id),
    )
    .order_by(stock_ledger.c.order_id)
    .limit(MAX_LISTED)
)


async def figures(runtime: Runtime[Any]) -> CatalogAudit:
    """What an auditor compares with the figures of order and payment."""
    reader, messages = runtime.reader, await message_figures(runtime)
    return CatalogAudit(
        at=runtime.clock.now(),
        stock=await _stock_figures(reader),
        reservations_by_state=_counts(await reader.all(_STATES)),
        ledger_orders_unknown=[row["order_id"] for row in await reader.all(_UNKNOWN)],
        **dict(messages),
    )


async def reservation_page(reader: Reader, cut: Cut) -> Page[ReservationFigures]:
    """A page of reservations, each with its movements, in one statement: of one moment even on a busy store."""
    columns = ("order_id", "state", "lines", "expires_at")
    page = cut.of(sa.select(*(reservations.c[name] for name in columns)), reservations.c.order_id).cte("page")
    moved = (
        sa.select(
            stock_ledger.c.order_id,
            stock_ledger.c.sku,
            _sum(stock_ledger.c.reserved).label("held"),
            _sum(-stock_ledger.c.on_hand).label("sold"),
        )
        .where(stock_ledger.c.order_id.in_(sa.select(page.c.order_id)))
        .group_by(stock_ledger.c.order_id, stock_ledger.c.sku)
        .subquery("moved")
    )
    statement = sa.select(page, moved.c.sku, moved.c.held, moved.c.sold).outerjoin_from(
        page, moved, moved.c.order_id == page.c.order_id
    )
    rows: dict[UUID, list[RowMapping]] = {}
    for row in await reader.all(statement.order_by(page.c.order_id)):
        rows.setdefault(row["order_id"], []).append(row)
    items = [_reservation(order_id, movements) for order_id, movements in rows.items()]
    return Page(items=items, next=cut.next([item.order_id for item in items]))


def _reservation(order_id: UUID, rows: Sequence[RowMapping]) -> ReservationFigures:
    first = rows[0]
    state = ReservationState(first["state"])
    lines = [StockLine.model_validate(line) for line in first["lines"]]
    wanted = {line.sku: _takes(state, line.quantity) for line in lines}
    moved = {row["sku"]: (row["held"], row["sold"]) for row in rows if row["sku"] is not None}
    nothing = (0, 0)
    wrong = [
        f"{sku}: the ledger holds {moved.get(sku, nothing)[0]} and sold {moved.get(sku, nothing)[1]}"
        for sku in sorted(wanted.keys() | moved.keys())
        if wanted.get(sku, nothing) != moved.get(sku, nothing)
    ]
    return ReservationFigures(order_id=order_id, state=state, lines=lines, expires_at=first["expires_at"], ledger=wrong)


def _takes(state: ReservationState, quantity: int) -> tuple[int, int]:
    """How many units a line in this state holds and how many it has sold, by the ledger."""
    match state:
        case ReservationState.HELD:
            return (quantity, 0)
        case ReservationState.COMMITTED:
            return (0, quantity)
        case _:
            return (0, 0)


async def _stock_figures(reader: Reader) -> list[StockFigures]:
    return [
        StockFigures(
            **row,
            available=row["on_hand"] - row["reserved"],
            balanced=all(row[name] == row[f"ledger_{name}"] for name in _COUNTS),
        )
        for row in await reader.all(_STOCK)
    ]


def _counts(rows: Sequence[Any]) -> dict[str, int]:
    return {row["name"]: row["rows"] for row in rows}
