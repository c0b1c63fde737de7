"""The catalog's use cases: load aggregates, call one method, write what moved into the ledger."""

import structlog

from catalog_svc.commands import AdjustStock, ChangeProduct, ExpireReservation, ListProduct, RetireProduct
from catalog_svc.domain.product import CurrencyError, Product, ProductExistsError, ProductStatus
from catalog_svc.domain.reservation import EXPIRED_REASON, Reservation, ReservationState
from catalog_svc.domain.stock import StockCounts, StockItem
from catalog_svc.store import CatalogUnitOfWork
from contracts.catalog import StockLine
from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderPlaced

log = structlog.get_logger()


async def list_product(command: ListProduct, uow: CatalogUnitOfWork) -> None:
    """A new product, with an empty stock row of its own.

    Raises:
        ProductExistsError, CurrencyError.
    """
    _check_currency(command.details.price, uow)
    if await uow.products.find(command.sku) is not None:
        raise ProductExistsError(command.sku)
    uow.products.add(Product.introduce(command.sku, command.details, uow.now))
    uow.stock.add(StockItem(command.sku))


async def change_product(command: ChangeProduct, uow: CatalogUnitOfWork) -> None:
    """New details, or on or off sale.

    Raises:
        NotFoundError, VersionMismatchError, ProductRetiredError, CurrencyError.
    """
    _check_currency(command.changes.price, uow)
    product = await uow.products.get(command.sku)
    item = await uow.stock.get(command.sku)
    product.require_version(command.based_on)
    if command.status is ProductStatus.LISTED:
        product.list_again()
    product.change(command.changes)
    if command.status is ProductStatus.RETIRED:
        product.retire()
    item.on_sale = product.status is ProductStatus.LISTED


async def retire_product(command: RetireProduct, uow: CatalogUnitOfWork) -> None:
    """Take a product off sale; orders that hold it go on.

    Raises:
        NotFoundError, VersionMismatchError.
    """
    product = await uow.products.get(command.sku)
    product.require_version(command.based_on)
    product.retire()
    item = await uow.stock.get(command.sku)
    item.on_sale = False


async def adjust_stock(command: AdjustStock, uow: CatalogUnitOfWork) -> StockCounts:
    """Count units in or out, and what is there then; of a retired product too, its shelf still has to be emptied.

    Raises:
        NotFoundError, StockNegativeError, StockTooLargeError.
    """
    item = await uow.stock.get(command.sku)
    movement = item.adjust(command.delta, command.reason)
    uow.journal([movement], reason=command.reason)
    return item.counts


async def reserve_stock(event: OrderPlaced, uow: CatalogUnitOfWork) -> None:
    """Hold every line of the order, or none.

    Also when `reserve_by` has passed: order_svc alone judges an order, and its `order.cancelled` for the missed
    deadline frees the stock whichever of the two comes first. Refusing by our own clock would make the outcome depend
    on how two clocks agree and on when a message happened to arrive.
    """
    reservation = await uow.reservations.of_order(event.order_id)
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in event.lines]
    shelf = await uow.shelf(lines)
    before = reservation.state
    expires_at = max(event.reserve_by, uow.now) + uow.policy.reservation_ttl
    uow.journal(reservation.place(lines, shelf, expires_at), order_id=event.order_id)
    _note("order.placed", before, reservation)


async def commit_stock(event: OrderConfirmed, uow: CatalogUnitOfWork) -> None:
    """What the order holds is sold."""
    reservation = await uow.reservations.of_order(event.order_id)
    shelf = await uow.shelf(reservation.lines)
    before = reservation.state
    uow.journal(reservation.confirm(shelf), order_id=event.order_id)
    _note("order.confirmed", before, reservation)


async def release_stock(event: OrderCancelled, uow: CatalogUnitOfWork) -> None:
    """What the order holds or bought is available again."""
    reservation = await uow.reservations.of_order(event.order_id)
    shelf = await uow.shelf(reservation.lines)
    before = reservation.state
    movements = reservation.cancel(event.reason, shelf)
    uow.journal(movements, order_id=event.order_id, reason=event.reason)
    _note("order.cancelled", before, reservation)


async def expire_reservation(command: ExpireReservation, uow: CatalogUnitOfWork) -> bool:
    """Let go of stock that nobody decided about in time; whether there was something to let go of.

    Raises:
        NotFoundError: there is no such reservation.
    """
    reservation = await uow.reservations.get(command.order_id)
    shelf = await uow.shelf(reservation.lines)
    movements = reservation.expire(uow.now, shelf)
    uow.journal(movements, order_id=command.order_id, reason=EXPIRED_REASON)
    return bool(movements)


def _check_currency(price: Money | None, uow: CatalogUnitOfWork) -> None:
    if price is not None and price.currency != uow.policy.currency:
        raise CurrencyError(uow.policy.currency)


def _note(fact: str, before: ReservationState, reservation: Reservation) -> None:
    """A fact that changed nothing, or came before its time, is worth a line: nothing is dropped in silence."""
    if reservation.state is before or before in (ReservationState.AWAITED, ReservationState.EXPIRED):
        log.info(
            "stock.unusual_order_of_facts",
            fact=fact,
            order_id=str(reservation.order_id),
            before=before.value,
            after=reservation.state.value,
        )
