"""`make run` as its reader sees it: what stands on the screen when the shop is open, and after it was stopped."""

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from ops import opening
from tests.edge.serving import require
from tests.support.local_shop import local_shop
from tests.support.waiting import wait_until


class Talker:
    """A process that has just printed something, the first `times` times somebody looks."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.looks = 0

    @property
    def last_line_at(self) -> float:
        self.looks += 1
        return asyncio.get_running_loop().time() if self.looks <= self.times else 0.0


async def test_who_still_talks_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "QUIET_SECONDS", 0.1)
    soon, endless = Talker(7), Talker(1_000_000)
    await opening.wait_quiet(cast(Any, [Talker(0), soon]))
    assert soon.looks > 7
    monkeypatch.setattr(opening, "MOST_QUIET_SECONDS", 0.2)
    await opening.wait_quiet(cast(Any, [endless]))
    assert endless.looks > 1


@pytest.mark.browser
@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_where_everything_is_stands_last_until_the_shop_is_stopped(tmp_path: Path) -> None:
    require("caddy")
    async with local_shop(tmp_path, EMBEDDED="1", DEMO="0") as shop:
        auditor = f"http://127.0.0.1:{shop.environment['AUDITOR_PORT']}/audit"
        async with httpx.AsyncClient() as client:
            assert (await client.get(auditor)).status_code == 401, "it answers before the shop is called open"
            assert (await client.get(f"{shop.url}/audit")).status_code == 401
        assert set(shop.state["pids"]) == {"shop", "edge", "auditor"}
        shop.stop()
        await wait_until(lambda: shop.printed()[-1].endswith("stopped"), timeout=60)
        lines = shop.printed()
    [opened] = [number for number, line in enumerate(lines) if "the shop is open" in line]
    [stopping] = [number for number, line in enumerate(lines) if "▸ stopping" in line]
    rows = lines[opened + 1 : stopping]
    assert rows[0].split()[0] == "storefront"
    assert rows[-1].split() == ["stop", "Ctrl-C"]
    assert any(row.endswith(f"{tmp_path}/run/shop.json") for row in rows), "a path that is cut short cannot be copied"
    assert [row for row in rows if not row.startswith("  ")] == [], "log lines scrolled after the addresses"
