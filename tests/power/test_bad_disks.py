"""A disk that is full, or fails: orders are refused, never half taken, and all goes on by itself when it is mended."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.sessions import EXIT_SYNC_FAILED
from tests.power.conftest import Lone
from tests.power.cutting import look_at, orders_left
from tests.power.faults import fault
from tests.power.lone import LoneService
from tests.power.shops import place, prepare_orders, try_to_place
from tests.support.waiting import wait_until

pytestmark = pytest.mark.strace


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, which fills up as any other does."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "small", str(folder)]
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)  # noqa: S603 - fixed command
    if done.returncode != 0:
        reason = f"a small file system cannot be mounted here: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - fixed command


async def test_a_full_disk(lone: Lone, small_disk: Path, tmp_path: Path) -> None:
    service = lone("order", disk=small_disk)
    prepare_orders(service)
    await service.start(traced=False)
    answered = {await place(service)}
    ballast = small_disk / "ballast"
    fill(ballast)
    key = await refused(service)
    assert "full" in (await failing(service))["store"]
    await still_reads(service, answered)
    ballast.unlink()
    answered.add(await place(service, key=key))
    await wait_until(lambda: store_is_fine(service))
    answered.add(await place(service))
    await service.kill()
    assert_holds(service, answered, tmp_path)


@pytest.mark.parametrize(("call", "error"), [("pwrite64", "ENOSPC"), ("pwrite64", "EIO")])
async def test_a_disk_that_fails_to_write(lone: Lone, tmp_path: Path, call: str, error: str) -> None:
    service = lone("order")
    prepare_orders(service)
    await service.start(traced=False)
    answered = {await place(service)}
    async with fault(service.pid, call, f"error={error}", tmp_path):
        key = await refused(service)
        assert (await failing(service))["store"]
        await still_reads(service, answered)
    answered.add(await place(service, key=key))
    await wait_until(lambda: store_is_fine(service))
    assert await service.stop() == 0
    assert_holds(service, answered, tmp_path)


async def test_a_disk_that_fails_to_sync_ends_the_process(lone: Lone, tmp_path: Path) -> None:
    """What could not be synced may be lost or not, and only the log, read anew, can tell: never a later sync."""
    service, key = lone("order"), str(uuid4())
    prepare_orders(service)
    await service.start(traced=False)
    answered = {await place(service)}
    async with fault(service.pid, "fdatasync", "error=EIO:when=1", tmp_path):
        with pytest.raises(httpx.TransportError):
            await try_to_place(service, key=key)
        assert await service.died() == EXIT_SYNC_FAILED
    assert "store.sync_failed" in service.log()
    await service.start(traced=False)
    answered.add(await place(service, key=key))
    assert await service.stop() == 0
    assert_holds(service, answered, tmp_path)


async def refused(service: LoneService) -> str:
    """Ask for an order in vain; the key to ask again with."""
    key = str(uuid4())
    answer = await try_to_place(service, key=key)
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "/problems/storage-unavailable"
    assert answer.headers["Retry-After"]
    return key


async def still_reads(service: LoneService, answered: set[str]) -> None:
    async with service.client() as http:
        answer = await http.get("/orders")
    assert answer.status_code == 200, answer.text
    assert {order["id"] for order in answer.json()["items"]} == answered


async def failing(service: LoneService) -> dict[str, str]:
    """What /readyz says is wrong; there is no broker, so something always is."""
    async with service.client() as http:
        checks: dict[str, str] = (await http.get("/readyz")).json()["failing"]
    return checks


async def store_is_fine(service: LoneService) -> bool:
    return "store" not in await failing(service)


def assert_holds(service: LoneService, answered: set[str], folder: Path) -> None:
    """These orders and no other, each whole."""
    copy = folder / "copy"
    shutil.copytree(service.store.parent, copy)
    assert look_at(copy / service.store.name, orders_left).made == {UUID(order_id) for order_id in answered}


def fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(ballast.parent).free == 0
