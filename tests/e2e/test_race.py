"""Many buyers, few units, and catalog_svc killed meanwhile: exactly what there is gets sold, on either kind of store.

`make race ROUNDS=20` runs as many rounds of 200 buyers for 50 units; without RACE_ROUNDS it is a small race.
"""

import os
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest

from tests.e2e.client import Shop
from tests.e2e.processes import ShopProcesses
from tests.e2e.race import CANCELS, LEAST_KILLS, Outcome, Race

ROUNDS: Final = int(os.environ.get("RACE_ROUNDS", "0"))
FIRST_SEED: Final = int(os.environ.get("RACE_SEED", "1"))
BUYERS, UNITS = (200, 50) if ROUNDS else (60, 15)

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(90 + 60 * ROUNDS)]


@pytest.fixture(params=["shop_processes", pytest.param("postgres_processes", marks=pytest.mark.postgres)])
def processes(request: pytest.FixtureRequest) -> ShopProcesses:
    """The shop on one kind of store after the other."""
    running: ShopProcesses = request.getfixturevalue(request.param)
    return running


@pytest.fixture
async def shop(processes: ShopProcesses) -> AsyncIterator[Shop]:
    async with httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=BUYERS)) as http:
        yield Shop(processes, http)
    if not processes.running("catalog"):
        processes.start("catalog")
    processes.wait_ready()


async def test_what_there_is_gets_sold_and_no_more(shop: Shop) -> None:
    customers = [await shop.customer() for _ in range(20)]
    for seed in range(FIRST_SEED, FIRST_SEED + (ROUNDS or 2)):
        outcome = await Race(shop, customers, buyers=BUYERS, units=UNITS, seed=seed).run()
        print(f"round {seed}: {outcome}")  # noqa: T201 - the figures of a long run, shown with -s
        assert outcome == Outcome(
            first={"awaiting_payment": UNITS, "rejected": BUYERS - UNITS},
            resold={"awaiting_payment": CANCELS, "rejected": CANCELS},
            paid=UNITS,
        ), f"round {seed}"
        assert outcome.kills >= LEAST_KILLS, f"round {seed}"
    await shop.adds_up()
