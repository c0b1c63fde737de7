"""The last units: however many buyers and instances race for them, none is sold twice."""

import asyncio
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from catalog_svc.commands import AdjustStock, ListProduct
from catalog_svc.domain.product import ProductExistsError
from catalog_svc.handlers import adjust_stock, list_product
from catalog_svc.store import CatalogUnitOfWork
from catalog_svc.tables import stock
from tests.catalog_svc.conftest import OpenStore
from tests.catalog_svc.shop import (
    CatalogRuntime,
    assert_balanced,
    cancelled,
    confirmed,
    counts_of,
    deliver,
    details,
    placed,
    state_of,
    stocked,
)
from tests.support.clocks import ManualClock

ROUNDS = 5
BUYERS = 12
UNITS = 5


async def test_two_instances_race_for_the_last_units(
    runtime: CatalogRuntime, another_instance: OpenStore, clock: ManualClock
) -> None:
    """Each round, buyers want the same two products, named in either order, through two writers on one store."""
    await stocked(runtime, A=0, B=0)
    async with another_instance() as other:
        instances = (runtime, other)
        for round_ in range(1, ROUNDS + 1):
            # Both instances work just before, so that neither is late to the race for want of a connection.
            await asyncio.gather(*(deliver_units(instance, sku) for instance, sku in zip(instances, "AB", strict=True)))
            orders = [uuid4() for _ in range(BUYERS)]
            await asyncio.gather(
                *(
                    deliver(instances[number % 2], placed(order, WANTED[number % 2], clock.now()))
                    for number, order in enumerate(orders)
                )
            )
            assert await counts_of(runtime, "A") == await counts_of(runtime, "B")
            assert await counts_of(runtime, "A") == (UNITS, UNITS, UNITS * (round_ - 1))
            states = [await state_of(runtime, order) for order in orders]
            assert states.count("held") == UNITS
            assert states.count("rejected") == BUYERS - UNITS
            await asyncio.gather(
                *(deliver(instances[number % 2], confirmed(order)) for number, order in enumerate(reversed(orders)))
            )
    assert await counts_of(runtime, "A") == (0, 0, UNITS * ROUNDS)
    assert await counts_of(runtime, "B") == (0, 0, UNITS * ROUNDS)
    await assert_balanced(runtime, "AB")


WANTED_A = {"A": 1}
WANTED = ({"A": 1, "B": 1}, {"B": 1, "A": 1})


async def deliver_units(instance: CatalogRuntime, sku: str) -> None:
    await instance.writer.execute(adjust_stock, AdjustStock(sku, UNITS, "delivery"))


async def test_instances_that_hear_of_an_order_at_the_same_time_agree(
    runtime: CatalogRuntime, another_instance: OpenStore, clock: ManualClock
) -> None:
    """Neither sees a row to lock, so both insert one; the loser does its work again and finds it."""
    await stocked(runtime, A=UNITS)
    async with another_instance() as other:
        await deliver_units(other, "A")
        for _ in range(ROUNDS):
            order = uuid4()
            await asyncio.gather(
                deliver(runtime, placed(order, WANTED_A, clock.now())), deliver(other, cancelled(order))
            )
            assert await state_of(runtime, order) == "released"
            assert await counts_of(runtime, "A") == (2 * UNITS, 0, 0)
    await assert_balanced(runtime, "A")


async def test_only_one_instance_lists_a_new_product(runtime: CatalogRuntime, another_instance: OpenStore) -> None:
    async with another_instance() as other:
        await other.writer.execute(list_product, ListProduct("A", details()))
        for number in range(ROUNDS):
            command = ListProduct(f"A-{number}", details())
            results = await asyncio.gather(
                *(instance.writer.execute(list_product, command) for instance in (runtime, other)),
                return_exceptions=True,
            )
            assert [type(result) for result in results if result is not None] == [ProductExistsError]


async def test_the_store_itself_refuses_to_oversell(runtime: CatalogRuntime) -> None:
    await stocked(runtime, A=1)
    for change in ({"reserved": 2}, {"reserved": -1}, {"on_hand": 0}, {"sold": -1, "on_hand": 2}, {"sold": 1}):
        statement = stock.update().values(**change)
        with pytest.raises(IntegrityError):
            await runtime.writer.run_now(partial(update, statement))
    assert await counts_of(runtime, "A") == (1, 0, 0)


async def update(statement: sa.Update, uow: CatalogUnitOfWork) -> int:
    return await uow.execute(statement)
