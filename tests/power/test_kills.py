"""The process dies at one system call of placing an order; asked again with its key, the order is there once."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from tests.power.conftest import THOROUGH, Lone
from tests.power.cutting import look_at, orders_left
from tests.power.faults import fault
from tests.power.shops import place, prepare_orders

pytestmark = [pytest.mark.strace, pytest.mark.timeout(3600 if THOROUGH else 120)]


def numbers(sample: Iterable[int]) -> Iterable[int]:
    """Every call there is, or a sample of them."""
    return range(1, 1_000) if THOROUGH else sample


@pytest.mark.parametrize(("call", "sample"), [("fdatasync", [1]), ("pwrite64", [1, 12])])
async def test_killed_at_a_system_call(lone: Lone, tmp_path: Path, call: str, sample: list[int]) -> None:
    service = lone("order")
    prepare_orders(service)
    await service.start(traced=False)
    placed = {await place(service)}
    deaths = 0
    for number in numbers(sample):
        key = str(uuid4())
        async with fault(service.pid, call, f"signal=SIGKILL:when={number}", tmp_path):
            try:
                placed.add(await place(service, key=key))
            except httpx.TransportError:
                assert await service.died() < 0
            else:
                break
        deaths += 1
        await service.start(traced=False)
        placed.add(await place(service, key=key))
    assert deaths >= len(sample)
    assert await service.stop() == 0
    assert look_at(service.store, orders_left).made == {UUID(order_id) for order_id in placed}
