"""README's three minutes with curl work as written, against a shop that `make run` would start."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.edge.serving import require
from tests.support.local_shop import ROOT, local_shop

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.browser]

ADDRESS = "SHOP=http://127.0.0.1:8080\n"
SAYS = {
    "/auth/register": ["user_id"],
    "catalog/products?": ["BK-", "next_cursor"],
    "pm_card_chargeDeclined": ["awaiting_payment", "card_declined", "authorized", '"status":"paid"'],
    "/events": ["event: timeline", "order.cancelled"],
    "./shop audit": ["order.paid", "order.inbox", "in a sound shop", "payment.refunded"],
}
"""What a reader has to see after the block in which this stands."""


def tour() -> list[str]:
    """The commands of the section, block by block."""
    section = (ROOT / "README.md").read_text().partition("\n## Three minutes with curl\n")[2].partition("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def script() -> str:
    """All blocks for one shell; where a block sets a variable, it must not be empty."""
    parts = []
    for number, block in enumerate(tour()):
        needed = " ".join(f'"${{{name}:?}}"' for name in re.findall(r"^([A-Z]+)=", block, re.MULTILINE))
        parts.append(f"echo; echo '== block {number}'\n{block}" + (f": {needed}\n" if needed else ""))
    return "\n".join(parts)


def walk(commands: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - the README's own commands, which a test is to run
        ["/bin/bash", "-euc", commands],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(500)
async def test_the_tour_can_be_walked(tmp_path: Path) -> None:
    for program in ("caddy", "curl", "rabbitmq-server"):
        require(program)
    commands = script()
    assert commands.count(ADDRESS) == 1
    async with local_shop(tmp_path) as shop:
        printed = walk(commands.replace(ADDRESS, f"SHOP={shop.url}\n"), shop.environment)
    seen = dict(re.findall(r"^== block (\d+)\n(.*?)(?=^== block|\Z)", printed, re.DOTALL | re.MULTILINE))
    told = {marker: seen[str(number)] for number, block in enumerate(tour()) for marker in SAYS if marker in block}
    assert told.keys() == SAYS.keys()
    missing = [(marker, word) for marker, words in SAYS.items() for word in words if word not in told[marker]]
    assert not missing, printed
    assert "/problems/" not in printed, printed
