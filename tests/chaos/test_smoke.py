"""Three quarters of a minute of kills, a broker's death and a frozen service under load: nothing lost, nothing doubled.

Only what is right is asserted, never how fast: `make chaos` measures that.
"""

from pathlib import Path

import pytest

from tests.chaos.plan import Config
from tests.chaos.run import run
from tests.chaos.shop import supervised_shop
from tests.fixtures.broker import RabbitNode

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(500)]

SMOKE = Config("smoke", rate=8, kill_every=2.5, steady=10, pay_within=60, people=12, products=20)


async def test_the_promises_hold_while_everything_goes_wrong(rabbit: RabbitNode, tmp_path: Path) -> None:
    with supervised_shop(rabbit, tmp_path, pay_within=SMOKE.pay_within) as shop:
        document = await run(SMOKE, shop, tmp_path)
    wrong = {name: found for name, found in document["verdict"].items() if found and name != "late"}
    assert wrong == {}
    assert document["counts"]["accepted"] == document["counts"]["offered"] > 0
    assert sum(document["counts"]["restarts"].values()) > 0
    assert {"kill", "broker killed", "freeze"} <= document["counts"]["faults"].keys()
