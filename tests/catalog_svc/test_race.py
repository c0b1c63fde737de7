"""The last units: however many buyers and instances race for them, none is sold twice."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from catalog_svc.tables import stock
from tests.catalog_svc.conftest import OpenStore
from tests.catalog_svc.shop import CatalogRuntime, assert_balanced, confirmed, counts_of, deliver, placed, stocked
from tests.support.clocks import ManualClock

BUYERS = 60
UNITS = 17


async def test_two_instances_race_for_the_last_units(
    runtime: CatalogRuntime, another_instance: OpenStore, clock: ManualClock
) -> None:
    """Buyers want the same two products, named in either order, through two writers on one store."""
    await stocked(runtime, A=UNITS, B=UNITS)
    orders = [uuid4() for _ in range(BUYERS)]
    async with another_instance() as other:
        instances = (runtime, other)

        async def buy(number: int) -> None:
            wanted = {"A": 1, "B": 1} if number % 2 else {"B": 1, "A": 1}
            instance = instances[number % 2]
            await deliver(instance, placed(orders[number], wanted, clock.now()))
            await deliver(instances[(number + 1) % 2], confirmed(orders[number]))

        await asyncio.gather(*(buy(number) for number in range(BUYERS)))
    assert await counts_of(runtime, "A") == (0, 0, UNITS)
    assert await counts_of(runtime, "B") == (0, 0, UNITS)
    await assert_balanced(runtime, "AB")


@pytest.mark.parametrize(
    "change", [{"reserved": 2}, {"reserved": -1}, {"on_hand": 0}, {"sold": -1, "on_hand": 2}, {"sold": 1}]
)
async def test_the_store_itself_refuses_to_oversell(runtime: CatalogRuntime, change: dict[str, int]) -> None:
    await stocked(runtime, A=1)
    with pytest.raises(IntegrityError):
        await runtime.writer.run_now(lambda uow: uow.execute(stock.update().values(**change)))
    assert await counts_of(runtime, "A") == (1, 0, 0)
