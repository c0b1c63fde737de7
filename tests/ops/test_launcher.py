"""`make run` as its reader sees it: what stands on the screen when the shop is open, and after it was stopped."""

import asyncio
import sqlite3
from contextlib import closing
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


@pytest.mark.browser
@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_what_does_not_add_up_in_a_running_shop_is_told_to_operators_through_the_edge(tmp_path: Path) -> None:
    require("caddy")
    async with (
        local_shop(tmp_path, EMBEDDED="1", AUDIT_SECONDS="0") as shop,
        httpx.AsyncClient(base_url=shop.url, timeout=60) as client,
    ):

        async def login(who: str) -> dict[str, str]:
            answer = await client.post("/auth/login", json={**shop.state[who], "cookie": False})
            return {"Authorization": f"Bearer {answer.json()['access_token']}"}

        operator, customer = await login("operator"), await login("customer")

        async def audited() -> dict[str, Any]:
            """One more audit, from the asking to its end."""
            asked = await client.post("/audit/runs", headers=operator)
            assert asked.status_code == 202
            told: list[dict[str, Any]] = [asked.json()]

            async def ended() -> bool:
                told.append((await client.get("/audit", headers=operator)).json())
                return not told[-1]["running"]

            await wait_until(ended, timeout=60)
            assert told[-1]["trouble"] is None
            last: dict[str, Any] = told[-1]["last"]
            return last

        assert (await client.get("/audit", headers=operator)).json()["last"] is None
        assert (await client.get("/audit", headers=customer)).status_code == 403
        assert (await client.post("/audit/runs", headers=customer)).status_code == 403
        assert (await audited())["counts"]["breaches"] == 0

        with closing(sqlite3.connect(tmp_path / "run" / "data" / "catalog.db")) as store, store:
            store.execute("UPDATE stock SET on_hand = on_hand - 1, received = received - 1 WHERE sku = 'BK-0001'")
        last = await audited()
        assert (last["result"], last["counts"]["breaches"]) == ("breach", 1)
        assert (last["breaches"][0]["check"], last["breaches"][0]["ids"]) == ("stock", ["BK-0001"])
        for secret in (shop.state["customer"]["email"], shop.state["operator"]["email"]):
            assert secret not in (tmp_path / "run" / "audit.json").read_text()
