"""The power fails at any moment: whatever was answered 201 is in the store afterwards, whole."""

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

import httpx
import pytest

from chassis.migrate import migrate, pending_migrations
from tests.power.conftest import THOROUGH, Lone
from tests.power.cutting import CREATED, cut_at_every_answer, look_at, orders_left, payments_left
from tests.power.disk import Disk, lay_out
from tests.power.lone import LoneService
from tests.power.shops import pay, place, place_many, prepare_orders, prepare_payments
from tests.power.trace import Event, Send, SyncBegun, SyncDone, Write, read_trace

CUTS: Final = 40 if THOROUGH else 2
ORDERS: Final = (1, 1, 1, 30, 1, 1, 45, 30, 40)  # one alone, then several at once: batches of one and of many
PAYMENTS: Final = 40

pytestmark = [pytest.mark.strace, pytest.mark.timeout(1800 if THOROUGH else 120)]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    folder.mkdir()
    return folder


async def test_no_order_that_was_answered_is_lost(lone: Lone, image: Path) -> None:
    service = lone("order")
    disk, run = await a_busy_hour(service)
    toll = cut_at_every_answer(disk, run, image, orders_left, cuts=CUTS)
    assert (toll.images, toll.lost) == (sum(ORDERS) * CUTS, 0)


async def test_no_payment_that_was_answered_is_lost(lone: Lone, image: Path) -> None:
    service = lone("payment")
    orders = [uuid4() for _ in range(PAYMENTS)]
    prepare_payments(service, orders)
    disk = Disk.of(service.store.parent)
    await service.start()
    await pay(service, orders)
    assert await service.stop() == 0
    toll = cut_at_every_answer(disk, read_trace(service.traces[-1]), image, payments_left, cuts=CUTS)
    assert (toll.images, toll.lost) == (PAYMENTS * CUTS, 0)


async def test_this_test_can_fail_without_the_full_sync_orders_are_lost(lone: Lone, image: Path) -> None:
    service = lone("order", module="tests.power.careless_order_svc")
    disk, run = await a_busy_hour(service)
    toll = cut_at_every_answer(disk, run, image, orders_left, cuts=CUTS)
    assert toll.images == sum(ORDERS) * CUTS
    assert toll.lost > toll.images / 2


async def test_an_order_is_answered_after_its_log_is_synced_and_not_before(lone: Lone) -> None:
    """One order after the other: when a 201 is sent, nothing waits for the disk, and something was synced for it."""
    service = lone("order")
    prepare_orders(service)
    await service.start()
    for _ in range(10):
        await place(service)
    assert await service.stop() == 0
    unsynced = synced = answers = 0
    for event in read_trace(service.traces[-1]):
        match event:
            case Write(path=path) if path.endswith("-wal"):
                unsynced += 1
            case SyncDone(path=path) if path.endswith("-wal"):
                synced, unsynced = synced + unsynced, 0
            case Send(data=data) if data.startswith(CREATED):
                assert (unsynced, synced > 0) == (0, True), f"answer {answers}"
                synced, answers = 0, answers + 1
            case _:
                pass
    assert answers == 10


async def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_answered_for(lone: Lone, image: Path) -> None:
    """A commit is in the log, its sync never begins. After the restart the order is there, but in memory only."""
    service, key = lone("order"), str(uuid4())
    prepare_orders(service)
    await service.start()
    await place(service)
    assert await service.stop() == 0
    syncs = syncs_until_answered(read_trace(service.traces[-1]))

    disk = Disk.of(service.store.parent)
    await service.start("-e", f"inject=fdatasync:signal=SIGKILL:when={syncs}")
    with pytest.raises(httpx.TransportError):
        await place(service, key=key)
    await service.died()
    for event in read_trace(service.traces[-1]):
        disk.see(event)
    lay_out({path.name: path.read_bytes() for path in service.store.parent.glob("*.db*")}, image)
    assert len(look_at(image / disk.store, orders_left).made) == 2

    await service.start()
    await place(service, key=key)
    await service.kill()
    toll = cut_at_every_answer(disk, read_trace(service.traces[-1]), image, orders_left, cuts=50)
    assert (toll.images, toll.lost) == (50, 0)


async def test_a_migration_that_is_cut_can_be_run_again(lone: Lone, image: Path) -> None:
    service = lone("order")
    service.migrate_traced()
    run = list(read_trace(service.traces[-1]))
    disk = Disk(service.store.parent, {service.store.name: b""})
    moments = set(range(len(run)) if THOROUGH else Random(1).sample(range(len(run)), 20))
    for moment, event in enumerate(run):
        disk.see(event)
        if moment in moments:
            lay_out(disk.cut(Random(moment)), image)
            url = f"sqlite+aiosqlite:///{image / disk.store}"
            migrate("order_svc", url)
            assert not pending_migrations("order_svc", url)


async def a_busy_hour(service: LoneService) -> tuple[Disk, Iterable[Event]]:
    """Orders come in, one by one and many at once; the disk as it was before, and all that was done to it."""
    prepare_orders(service)
    disk = Disk.of(service.store.parent)
    await service.start()
    for count in ORDERS:
        await place_many(service, count)
    assert await service.stop() == 0
    return disk, read_trace(service.traces[-1])


def syncs_until_answered(run: Iterable[Event]) -> int:
    """How many syncs the committing thread had asked for at the first 201: strace counts each thread by itself."""
    threads: list[int] = []
    for event in run:
        if isinstance(event, SyncBegun):
            threads.append(event.by)
        elif isinstance(event, Send) and event.data.startswith(CREATED):
            return threads.count(threads[-1])
    raise AssertionError("nothing was answered")
