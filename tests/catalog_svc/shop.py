"""A catalog under test: builders of facts and products, and looks at what is in the store."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from catalog_svc.commands import AdjustStock, ListProduct
from catalog_svc.consumers import SUBSCRIPTIONS
from catalog_svc.domain.product import Details
from catalog_svc.handlers import adjust_stock, list_product
from catalog_svc.store import CatalogUnitOfWork
from catalog_svc.tables import RUNTIME, reservations, stock, stock_ledger
from chassis.context import MessageContext
from chassis.jobs import InboxEvent
from chassis.runtime import Runtime
from contracts.envelope import Envelope, Event, decode
from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced
from contracts.registry import typed

CatalogRuntime = Runtime[CatalogUnitOfWork]
Wanted = dict[str, int]


def details(
    title: str = "Emma", *, price: int = 999, category: str = "Fiction", author: str = "Jane Austen"
) -> Details:
    return Details(title, author, category, "A novel.", Money(amount=price, currency="EUR"))


def placed(order_id: UUID, wanted: Wanted, reserve_by: datetime) -> OrderPlaced:
    price = Money(amount=999, currency="EUR")
    lines = [OrderLine(sku=sku, quantity=quantity, unit_price=price) for sku, quantity in wanted.items()]
    total = price * sum(wanted.values())
    return OrderPlaced(order_id=order_id, user_id=uuid4(), lines=lines, total=total, reserve_by=reserve_by)


def confirmed(order_id: UUID) -> OrderConfirmed:
    return OrderConfirmed(order_id=order_id, payment_id=uuid4())


def cancelled(order_id: UUID, reason: str = "by_customer") -> OrderCancelled:
    return OrderCancelled(order_id=order_id, reason=reason)


async def deliver(runtime: CatalogRuntime, event: Event, event_id: UUID | None = None) -> bool:
    """The event as the consumer hands it over; False if its id was handled before."""
    event_id = event_id or uuid4()
    context = MessageContext(event.conversation or uuid4(), event_id)
    return await runtime.writer.handle(InboxEvent(event_id, event), SUBSCRIPTIONS[type(event)], context)


async def stocked(runtime: CatalogRuntime, **counts: int) -> None:
    """Listed products with so many units each."""
    for sku, count in counts.items():
        await runtime.writer.execute(list_product, ListProduct(sku, details(f"Title of {sku}")))
        if count:
            await runtime.writer.execute(adjust_stock, AdjustStock(sku, count, "delivery"))


async def counts_of(runtime: CatalogRuntime, sku: str) -> tuple[int, int, int]:
    """on_hand, reserved, sold"""
    row = await runtime.reader.first(sa.select(stock).where(stock.c.sku == sku))
    assert row is not None
    return row["on_hand"], row["reserved"], row["sold"]


async def state_of(runtime: CatalogRuntime, order_id: UUID) -> str | None:
    row = await runtime.reader.first(sa.select(reservations.c.state).where(reservations.c.order_id == order_id))
    return row["state"] if row else None


async def published(runtime: CatalogRuntime, *, about: object = None) -> list[Event]:
    """The events in the outbox, oldest first; of one aggregate if asked."""
    return [typed(envelope) for envelope in await envelopes(runtime, about=about)]


async def envelopes(runtime: CatalogRuntime, *, about: object = None) -> list[Envelope]:
    outbox = RUNTIME.outbox
    statement = sa.select(outbox.c.body).order_by(outbox.c.id)
    if about is not None:
        statement = statement.where(outbox.c.aggregate_id == str(about))
    return [decode(row["body"].encode()) for row in await runtime.reader.all(statement)]


async def ledger_of(runtime: CatalogRuntime, sku: str) -> list[tuple[str, int, int]]:
    """kind, on_hand and reserved of each movement, oldest first"""
    statement = sa.select(stock_ledger).where(stock_ledger.c.sku == sku).order_by(stock_ledger.c.id)
    return [(row["kind"], row["on_hand"], row["reserved"]) for row in await runtime.reader.all(statement)]


async def assert_balanced(runtime: CatalogRuntime, skus: Iterable[str]) -> None:
    """The ledger's sums are the stock rows."""
    for sku in skus:
        movements = await ledger_of(runtime, sku)
        on_hand, reserved, sold = await counts_of(runtime, sku)
        assert sum(m[1] for m in movements) == on_hand
        assert sum(m[2] for m in movements) == reserved
        assert -sum(m[1] for m in movements if m[0] in {"sell", "restock"}) == sold


async def snapshot(runtime: CatalogRuntime) -> dict[str, Any]:
    """What must be the same whatever the order of facts: counts and reservations, without versions."""
    stock_rows = await runtime.reader.all(
        sa.select(stock.c.sku, stock.c.on_hand, stock.c.reserved, stock.c.sold).order_by(stock.c.sku)
    )
    columns = [column for column in reservations.c if column.name != "version"]
    rows = await runtime.reader.all(sa.select(*columns).order_by(reservations.c.order_id))
    return {"stock": [dict(row) for row in stock_rows], "reservations": [dict(row) for row in rows]}
