"""The auditor as containers run it: told addresses and logins by its environment, and asked over HTTP."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.registry import SERVICES
from ops.auditor.remote import desk_of
from ops.auditor.settings import AuditorSettings
from ops.broker import free_port
from tests.support.local_shop import ROOT, LocalShop, local_shop
from tests.support.waiting import wait_until

COMMAND = (sys.executable, "-m", "ops.auditor.remote")
TOLD = {
    **{f"AUDITOR_{service.upper()}_URL": f"http://{service}:80/" for service in SERVICES},
    "AUDITOR_OPERATOR_EMAIL": "operator@shop.example",
    "AUDITOR_OPERATOR_PASSWORD": "not to be seen",
}


def settings(monkeypatch: pytest.MonkeyPatch, **more: str) -> AuditorSettings:
    for name, value in (TOLD | more).items():
        monkeypatch.setenv(name, value)
    return AuditorSettings()


def test_it_looks_at_the_broker_only_if_it_is_told_where(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(monkeypatch).shop()
    assert told["services"] == {service: f"http://{service}:80" for service in SERVICES}
    assert "management" not in told
    told = settings(
        monkeypatch, AUDITOR_MANAGEMENT_URL="http://broker:15672", AUDITOR_MANAGEMENT_PASSWORD="a secret"
    ).shop()
    assert told["management"] == {"url": "http://broker:15672", "user": "monitoring", "password": "a secret"}


def test_its_logins_are_not_printed_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not to be seen" not in repr(settings(monkeypatch))


@pytest.mark.parametrize(("name", "value"), [("AUDITOR_ORDER_URL", None), ("AUDITOR_AUTH_URL", "auth:8001")])
async def test_without_an_address_it_does_not_start_and_names_it(name: str, value: str | None) -> None:
    environment = {**TOLD, "PATH": os.environ["PATH"], name: value or ""}
    if value is None:
        del environment[name]
    process = await asyncio.create_subprocess_exec(
        *COMMAND, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert name in printed.decode()
    assert "not to be seen" not in printed.decode()


async def test_a_service_that_is_away_is_told_with_where_its_address_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    addresses = {f"AUDITOR_{service.upper()}_URL": nobody for service in SERVICES}
    desk = desk_of(settings(monkeypatch, AUDITOR_FILE=str(tmp_path / "audit.json"), **addresses))
    work = asyncio.create_task(desk.work())
    desk.ask()
    await wait_until(lambda: desk.told()["trouble"] is not None)
    work.cancel()
    assert f"nothing answers at {nobody}, where AUDITOR_" in desk.told()["trouble"]["text"]
    assert "make run" not in desk.told()["trouble"]["text"]


@asynccontextmanager
async def auditor_of(shop: LocalShop, file: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An auditor of a running shop, started as a container would."""
    port = free_port()
    management: Mapping[str, str] = shop.state["management"]
    environment = {
        "PATH": os.environ["PATH"],
        **{f"AUDITOR_{service.upper()}_URL": url for service, url in shop.state["services"].items()},
        **{f"AUDITOR_OPERATOR_{name.upper()}": value for name, value in shop.state["operator"].items()},
        **{f"AUDITOR_MANAGEMENT_{name.upper()}": value for name, value in management.items()},
        "AUDITOR_PORT": str(port),
        "AUDITOR_FILE": str(file),
        "AUDITOR_EVERY_SECONDS": "0",
    }
    process = await asyncio.create_subprocess_exec(*COMMAND, cwd=ROOT, env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

            async def answers() -> bool:
                assert process.returncode is None
                try:
                    return bool((await client.get("/healthz")).json() == {"status": "alive"})
                except httpx.TransportError:
                    return False

            await wait_until(answers, timeout=60)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)


@pytest.mark.rabbit
@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_it_audits_a_shop_on_rabbitmq_and_tells_the_operator(tmp_path: Path) -> None:
    async with local_shop(tmp_path, DEMO="0") as shop, auditor_of(shop, tmp_path / "audit.json") as client:
        auth = shop.state["services"]["auth"]
        login = await client.post(f"{auth}/auth/login", json={**shop.state["operator"], "cookie": False})
        operator = {"Authorization": f"Bearer {login.json()['access_token']}"}
        assert (await client.get("/audit")).status_code == 401
        assert (await client.post("/audit/runs", headers=operator)).status_code == 202
        told: dict[str, Any] = {}

        async def ended() -> bool:
            told.update((await client.get("/audit", headers=operator)).json())
            return not told["running"]

        await wait_until(ended, timeout=60)
        assert told["trouble"] is None
        assert told["last"]["result"] == "sound"
        [broker] = [check for check in told["last"]["checks"] if check["check"] == "broker"]
        assert (broker["result"], broker["compared"] > 0) == ("sound", True), "RabbitMQ was asked, too"
