"""The catalog's figures for an audit: every unit of stock accounted for, and what was sent and received.

Read at rest they must add up; on a live system the statements see moments a little apart.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from catalog_svc.domain.reservation import ReservationState
from catalog_svc.domain.stock import MovementKind
from catalog_svc.tables import RUNTIME, reservations, stock, stock_ledger
from chassis.db import Reader
from chassis.fields import Answer
from chassis.figures import MessageFigures, message_figures
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


class OpenOrder(Answer):
    """An order that stock is held for or sold to."""

    order_id: UUID
    state: ReservationState
    lines: list[StockLine]
    expires_at: datetime | None


class CatalogAudit(MessageFigures):
    service: str = "catalog"
    at: datetime
    stock: list[StockFigures]
    orders: list[OpenOrder]
    reservations_by_state: dict[str, int]


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
_OPEN: Final = (
    sa.select(reservations.c.order_id, reservations.c.state, reservations.c.lines, reservations.c.expires_at)
    .where(reservations.c.state.in_([ReservationState.HELD.value, ReservationState.COMMITTED.value]))
    .order_by(reservations.c.order_id)
)
_STATES: Final = sa.select(reservations.c.state.label("name"), sa.func.count().label("rows")).group_by("name")


async def figures(reader: Reader, now: datetime) -> CatalogAudit:
    """What an auditor compares with the figures of order and payment."""
    messages = await message_figures(reader, RUNTIME)
    return CatalogAudit(
        at=now,
        stock=await _stock_figures(reader),
        orders=[OpenOrder.model_validate(dict(row)) for row in await reader.all(_OPEN)],
        reservations_by_state=_counts(await reader.all(_STATES)),
        **dict(messages),
    )


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
