"""Use cases: load, call one method of the aggregate, done. They commit nothing and publish nothing."""

from datetime import timedelta

from chassis.seedwork import NotFoundError
from contracts.catalog import ProductChanged, ProductListed, ProductRetired
from order_svc.commands import CancelOrder, ExpireOrder, FulfilOrder, PlaceOrder
from order_svc.domain.order import Order
from order_svc.domain.pricing import Product, check_expected, price_lines
from order_svc.store import OrderUnitOfWork


async def place_order(command: PlaceOrder, uow: OrderUnitOfWork, *, stock_within: timedelta) -> Order:
    """Price the lines from our own projection of the catalogue and take the order.

    Raises:
        DomainError: see `price_lines` and `check_expected`.
    """
    products = await uow.products.get_all(line.sku for line in command.lines)
    lines = price_lines(command.lines, products)
    order = Order.place(id=uow.new_id(), user_id=command.user_id, lines=lines, now=uow.now, stock_within=stock_within)
    check_expected(command.expected_total, order.total)
    uow.orders.add(order)
    return order


async def cancel_order(command: CancelOrder, uow: OrderUnitOfWork) -> Order:
    order = await uow.orders.get(command.order_id)
    if command.user_id not in {None, order.user_id}:
        raise NotFoundError("order")
    order.cancel(uow.now)
    return order


async def fulfil_order(command: FulfilOrder, uow: OrderUnitOfWork) -> Order:
    order = await uow.orders.get(command.order_id)
    order.fulfil(uow.now)
    return order


async def expire_order(command: ExpireOrder, uow: OrderUnitOfWork) -> None:
    order = await uow.orders.get(command.order_id)
    order.expire(uow.now)


async def keep_product(event: ProductListed | ProductChanged, uow: OrderUnitOfWork) -> None:
    """The projection keeps the highest version of each product; an older event changes nothing, a gap is legal."""
    await uow.products.keep(Product(event.sku, event.title, event.price, True, event.version))


async def keep_retired_product(event: ProductRetired, uow: OrderUnitOfWork) -> None:
    await uow.products.keep(Product(event.sku, event.title, event.price, False, event.version))
