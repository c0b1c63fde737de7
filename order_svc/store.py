"""order_svc's tables, how aggregates become rows, and its unit of work."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.db import NAMING_CONVENTION, UtcDateTime
from chassis.token_feed import token_tables
from chassis.unit_of_work import Repository, Transaction, UnitOfWork, runtime_tables
from contracts.catalog import ProductChanged, ProductListed, ProductRetired
from contracts.money import MAX_AMOUNT, Money
from order_svc.commands import PlaceOrder
from order_svc.domain.order import Line, Order, OrderStatus
from order_svc.domain.pricing import Product
from order_svc.feed import ChangeFeed

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
RUNTIME: Final = runtime_tables(metadata)
TOKENS: Final = token_tables(metadata)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("status_reason", sa.String(40)),
    sa.Column("lines", sa.JSON, nullable=False),
    sa.Column("total_amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("captured_amount", sa.BigInteger, nullable=False),
    sa.Column("refunded_amount", sa.BigInteger, nullable=False),
    sa.Column("payment_id", sa.Uuid),
    sa.Column("placed_at", UtcDateTime, nullable=False),
    sa.Column("deadline_at", UtcDateTime, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("entries", sa.Integer, nullable=False),
    sa.CheckConstraint(f"total_amount BETWEEN 0 AND {MAX_AMOUNT}", name="total_in_bounds"),
    sa.CheckConstraint("captured_amount IN (0, total_amount)", name="captured_all_or_nothing"),
    sa.CheckConstraint("refunded_amount BETWEEN 0 AND total_amount", name="refunded_in_bounds"),
    sa.Index("ix_orders_user_id_id", "user_id", "id"),
    sa.Index("ix_orders_status_id", "status", "id"),
)

timeline = sa.Table(
    "order_timeline",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("service", sa.String(20), nullable=False),
    sa.Column("event", sa.String(40), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("text", sa.String(200), nullable=False),
)

products = sa.Table(
    "products",
    metadata,
    sa.Column("sku", sa.String(32), primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("price_amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("orderable", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    comment="projection of catalog's products, at the highest version seen",
)


_PRODUCTS_BY_SKU: Final = sa.select(products).where(products.c.sku.in_(sa.bindparam("skus", expanding=True)))


class OrderRepository(Repository[Order, UUID]):
    """Orders, and with them the timeline entries they made."""

    table = orders
    key = "id"
    what = "order"

    def __init__(self, uow: UnitOfWork, feed: ChangeFeed) -> None:
        super().__init__(uow)
        self._feed = feed

    def to_row(self, aggregate: Order) -> dict[str, Any]:
        order = aggregate
        return {
            "id": order.id,
            "user_id": order.user_id,
            "status": order.status.value,
            "status_reason": order.status_reason,
            "lines": [
                {"sku": x.sku, "title": x.title, "quantity": x.quantity, "unit_price": x.unit_price.amount}
                for x in order.lines
            ],
            "total_amount": order.total.amount,
            "currency": order.total.currency,
            "captured_amount": order.captured,
            "refunded_amount": order.refunded,
            "payment_id": order.payment_id,
            "placed_at": order.placed_at,
            "deadline_at": order.deadline_at,
            "version": order.version,
            "entries": order.entries,
        }

    def from_row(self, row: RowMapping) -> Order:
        return order_of(row)

    async def flush(self) -> None:
        for order in self.loaded():
            entries = order.pull_entries()
            if entries:
                self._uow.after_commit(partial(self._feed.notify, order.id, order.status))
            for entry in entries:
                self._uow.append(
                    timeline,
                    {
                        "order_id": order.id,
                        "seq": entry.seq,
                        "at": entry.at,
                        "service": entry.service.value,
                        "event": entry.event,
                        "status": entry.status.value,
                        "text": entry.text,
                    },
                )
        await super().flush()


class ProductProjection:
    """What order_svc keeps of the catalogue: rows only, the newest version of each product wins."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow
        self._known: dict[str, Product | None] = {}
        self._stored: set[str] = set()
        self._changed: dict[str, Product] = {}
        uow.register(self)

    async def get_all(self, skus: Iterable[str]) -> Mapping[str, Product]:
        """Those of the products that are known, by SKU."""
        wanted = set(skus)
        await self.preload(wanted)
        return {sku: product for sku in wanted if (product := self._known[sku]) is not None}

    async def preload(self, skus: Iterable[str]) -> None:
        missing = set(skus) - self._known.keys()
        if not missing:
            return
        self._known.update(dict.fromkeys(missing))
        rows = await self._uow.connection.execute(_PRODUCTS_BY_SKU, {"skus": sorted(missing)})
        for row in rows.mappings():
            self._known[row["sku"]] = product_of(row)
            self._stored.add(row["sku"])

    async def keep(self, product: Product) -> None:
        """Take this state of a product in, unless a newer one is known."""
        await self.preload([product.sku])
        known = self._known[product.sku]
        if known is None or known.version < product.version:
            self._known[product.sku] = self._changed[product.sku] = product

    async def flush(self) -> None:
        changed, self._changed = self._changed, {}
        inserts = [_product_row(product) for sku, product in changed.items() if sku not in self._stored]
        updates = [
            _product_row(product) | {"b_sku": sku, "b_version": product.version}
            for sku, product in changed.items()
            if sku in self._stored
        ]
        if inserts:
            await self._uow.connection.execute(products.insert(), inserts)
        if updates:
            await self._uow.connection.execute(
                products.update().where(
                    products.c.sku == sa.bindparam("b_sku"), products.c.version < sa.bindparam("b_version")
                ),
                updates,
            )
        self._stored.update(changed)


class OrderUnitOfWork(UnitOfWork):
    """One transaction over orders and the product projection."""

    def __init__(self, transaction: Transaction, *, feed: ChangeFeed) -> None:
        super().__init__(transaction)
        self.products = ProductProjection(self)
        self.orders = OrderRepository(self, feed)

    async def preload(self, inputs: Sequence[object]) -> None:
        order_ids = {order_id for item in inputs if (order_id := getattr(item, "order_id", None)) is not None}
        skus = {line.sku for item in inputs if isinstance(item, PlaceOrder) for line in item.lines}
        skus |= {item.sku for item in inputs if isinstance(item, ProductListed | ProductChanged | ProductRetired)}
        await self.orders.preload(order_ids)
        await self.products.preload(skus)


def order_of(row: RowMapping) -> Order:
    """The order in a row of `orders`."""
    return Order(
        id=row["id"],
        user_id=row["user_id"],
        lines=[
            Line(x["sku"], x["title"], x["quantity"], Money(amount=x["unit_price"], currency=row["currency"]))
            for x in row["lines"]
        ],
        placed_at=row["placed_at"],
        status=OrderStatus(row["status"]),
        status_reason=row["status_reason"],
        payment_id=row["payment_id"],
        captured=row["captured_amount"],
        refunded=row["refunded_amount"],
        deadline_at=row["deadline_at"],
        version=row["version"],
        entries=row["entries"],
    )


def product_of(row: RowMapping) -> Product:
    """The product in a row of the projection."""
    price = Money(amount=row["price_amount"], currency=row["currency"])
    return Product(row["sku"], row["title"], price, row["orderable"], row["version"])


def _product_row(product: Product) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "title": product.title,
        "price_amount": product.price.amount,
        "currency": product.price.currency,
        "orderable": product.orderable,
        "version": product.version,
    }
