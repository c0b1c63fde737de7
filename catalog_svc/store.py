"""Rows ↔ aggregates, and the catalog's unit of work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from catalog_svc.domain.product import Details, Product, ProductStatus
from catalog_svc.domain.reservation import Reservation, ReservationState
from catalog_svc.domain.stock import Movement, StockItem
from catalog_svc.search import search_text, sort_key, words
from catalog_svc.tables import product_words, products, reservations, stock, stock_ledger
from chassis.unit_of_work import Repository, Transaction, UnitOfWork
from contracts.catalog import StockLine
from contracts.money import Money

MAX_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Policy:
    """What handlers decide by that is not a fact."""

    currency: str = "EUR"
    reservation_ttl: timedelta = timedelta(minutes=30)


_FORGET_WORDS: Final = product_words.delete().where(product_words.c.sku == sa.bindparam("b_sku"))


class Products(Repository[Product, str]):
    """Products, and with them the words they are found by."""

    table = products
    key = "sku"
    what = "product"

    def to_row(self, aggregate: Product) -> dict[str, Any]:
        details = aggregate.details
        return {
            "sku": aggregate.sku,
            "title": details.title,
            "author": details.author,
            "category": details.category,
            "description": details.description,
            "price_amount": details.price.amount,
            "price_currency": details.price.currency,
            "status": aggregate.status.value,
            "listed_at": aggregate.listed_at,
            "version": aggregate.version,
            "sort_title": sort_key(details.title),
            "search_text": search_text(details.title, details.author, aggregate.sku),
        }

    def from_row(self, row: RowMapping) -> Product:
        details = Details(
            title=row["title"],
            author=row["author"],
            category=row["category"],
            description=row["description"],
            price=Money(amount=row["price_amount"], currency=row["price_currency"]),
        )
        return Product(row["sku"], details, ProductStatus(row["status"]), row["listed_at"], version=row["version"])

    async def flush(self) -> None:
        before = {sku: row["search_text"] for sku, row in self._written.items()}
        await super().flush()
        texts = {sku: row["search_text"] for sku, row in self._written.items() if row["search_text"] != before.get(sku)}
        renamed = [{"b_sku": sku} for sku in texts if sku in before]
        found = [{"word": word, "sku": sku} for sku, text in texts.items() for word in sorted(words(text))]
        if renamed:
            await self._uow.connection.execute(_FORGET_WORDS, renamed)
        if found:
            await self._uow.connection.execute(product_words.insert(), found)


class Stock(Repository[StockItem, str]):
    table = stock
    key = "sku"
    what = "product"

    def to_row(self, aggregate: StockItem) -> dict[str, Any]:
        return {
            "sku": aggregate.sku,
            "on_sale": aggregate.on_sale,
            "on_hand": aggregate.on_hand,
            "reserved": aggregate.reserved,
            "sold": aggregate.sold,
            "received": aggregate.received,
            "version": aggregate.version,
        }

    def from_row(self, row: RowMapping) -> StockItem:
        return StockItem(**row)


class Reservations(Repository[Reservation, UUID]):
    table = reservations
    key = "order_id"
    what = "reservation"

    def to_row(self, aggregate: Reservation) -> dict[str, Any]:
        return {
            "order_id": aggregate.order_id,
            "state": aggregate.state.value,
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in aggregate.lines],
            "expires_at": aggregate.expires_at,
            "reason": aggregate.reason[:MAX_REASON],
            "version": aggregate.version,
        }

    def from_row(self, row: RowMapping) -> Reservation:
        return Reservation(
            row["order_id"],
            state=ReservationState(row["state"]),
            lines=tuple(StockLine(**line) for line in row["lines"]),
            expires_at=row["expires_at"],
            reason=row["reason"],
            version=row["version"],
        )

    async def of_order(self, order_id: UUID) -> Reservation:
        """The order's reservation; a blank one, taken in, if nothing was heard of the order yet."""
        known = await self.find(order_id)
        if known is not None:
            return known
        blank = Reservation(order_id)
        self.add(blank)
        return blank


class CatalogUnitOfWork(UnitOfWork):
    """Rows are locked in one order everywhere: reservations, then products, then stock, each by ascending key."""

    def __init__(self, transaction: Transaction, policy: Policy) -> None:
        super().__init__(transaction)
        self.policy = policy
        self.products = Products(self)
        self.stock = Stock(self)
        self.reservations = Reservations(self)

    async def shelf(self, lines: Iterable[Any]) -> Mapping[str, StockItem]:
        """The stock items of these lines, by SKU; a line's product need not exist."""
        return await self.stock.get_many(line.sku for line in lines)

    def journal(self, movements: Iterable[Movement], *, order_id: UUID | None = None, reason: str = "") -> None:
        """Write stock movements into the ledger, with the message that caused them."""
        for movement in movements:
            self.append(
                stock_ledger,
                {
                    "sku": movement.sku,
                    "order_id": order_id,
                    "kind": movement.kind.value,
                    "on_hand": movement.on_hand,
                    "reserved": movement.reserved,
                    "reason": reason[:MAX_REASON],
                    "cause_id": self.context.causation_id,
                    "at": self.now,
                },
            )

    async def preload(self, inputs: Sequence[object]) -> None:
        """Load a batch's rows in one query per table: all reservations first, because they name more stock."""
        order_ids = [item.order_id for item in inputs if hasattr(item, "order_id")]
        known = await self.reservations.get_many(order_ids)
        product_skus = [item.sku for item in inputs if hasattr(item, "sku")]
        await self.products.preload(product_skus)
        lines = [line for item in inputs for line in getattr(item, "lines", ())]
        lines += [line for reservation in known.values() for line in reservation.lines]
        await self.stock.preload([*product_skus, *(line.sku for line in lines)])
