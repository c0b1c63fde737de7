"""An old day is sent again, every event of it to every inbox: nothing happens.

That every event twice and out of order on the day itself changes nothing is for test_unruly_broker.py.
"""

import random
from functools import partial
from typing import Final

import pytest
import sqlalchemy as sa

from chassis.transport import OutgoingMessage
from chassis.unit_of_work import UnitOfWork
from contracts.registry import SERVICES
from tests.shop.day import a_day, everything
from tests.shop.shop import Shop

NOTES: Final = ("inbox", "order_timeline", "orders.entries")
"""That something was heard. An order notes late facts, whether it heard them before or not."""


async def send_again(shop: Shop, messages: list[OutgoingMessage]) -> None:
    for message in messages:
        shop.broker.publish(message)
    await shop.settled()


async def forget_the_ids(shop: Shop) -> None:
    for service in SERVICES:
        runtime = shop.runtime(service)
        await runtime.writer.run_now(partial(_empty, runtime.definition.tables.inbox))


async def _empty(table: sa.Table, uow: UnitOfWork) -> int:
    return await uow.execute(table.delete())


async def test_every_event_of_the_day_three_times_shuffled(shop: Shop) -> None:
    await a_day(shop)
    before = await everything(shop)
    day = shop.broker.journal * 3
    random.Random(11).shuffle(day)
    await send_again(shop, day)
    assert await everything(shop) == before
    await shop.audit()


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_even_when_its_ids_are_long_forgotten(shop: Shop, seed: int | None) -> None:
    """Ids are kept for 30 days. After that each aggregate knows by itself: no event, no money, no stock moves."""
    await a_day(shop)
    await forget_the_ids(shop)
    before = await everything(shop, without=NOTES)
    day = list(shop.broker.journal)
    if seed is not None:
        random.Random(seed).shuffle(day)
    await send_again(shop, day)
    assert await everything(shop, without=NOTES) == before
