"""The auditor: when it audits, what it keeps, whom it tells, and what it says when it cannot."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.audit import Report, audit, kept_report
from ops.auditor.api import AuditorApi
from ops.auditor.desk import AuditDesk
from ops.shop_api import ManagementError
from tests.ops.audited import AuditedShop
from tests.support.waiting import wait_until

ROLES = {"Bearer boss": ["customer", "operator"], "Bearer reader": ["customer"]}


class Audits:
    """Takes the audits of a shop made of figures; `failure` is raised instead, `gate` holds each back."""

    def __init__(self) -> None:
        self.shop = AuditedShop()
        self.taken = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Report:
        self.taken += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await audit(self.shop, pause=0)


@pytest.fixture
def audits() -> Audits:
    return Audits()


@asynccontextmanager
async def working(audits: Audits, file: Path, *, every: float = 0, first: float = 0) -> AsyncIterator[AuditDesk]:
    desk = AuditDesk(audits, file, every=every, first=first)
    work = asyncio.create_task(desk.work())
    yield desk
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def test_it_audits_in_its_time_and_keeps_what_it_found(audits: Audits, tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    audits.shop.users.clear()
    async with working(audits, file, every=0.01) as desk:
        assert desk.told()["last"] is None
        await wait_until(lambda: audits.taken > 2)
        told = desk.told()
    assert told["last"]["result"] == "breach"
    assert told["last"]["counts"] == {"breaches": 1, "moving": 0, "notes": 0}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [file.name]


async def test_one_at_a_time_however_often_it_is_asked(audits: Audits, tmp_path: Path) -> None:
    audits.gate.clear()
    async with working(audits, tmp_path / "audit.json") as desk:
        desk.ask()
        desk.ask()
        await wait_until(lambda: audits.taken == 1)
        desk.ask()
        assert desk.told()["running"]
        audits.gate.set()
        await wait_until(lambda: not desk.told()["running"])
        assert (audits.taken, desk.told()["last"]["result"]) == (1, "sound")


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (ManagementError("the management API answered 500"), "broker: the management API answered 500"),
        (httpx.ConnectError("refused", request=httpx.Request("GET", "http://127.0.0.1:8003/x?s=1")), "127.0.0.1:8003"),
        (KeyError("somebody@example.org"), "the audit itself failed (KeyError)"),
    ],
)
async def test_an_audit_that_fails_is_told_and_the_last_result_stays(
    audits: Audits, tmp_path: Path, failure: Exception, says: str
) -> None:
    async with working(audits, tmp_path / "audit.json") as desk:
        desk.ask()
        await wait_until(lambda: desk.told()["last"] is not None)
        audits.failure = failure
        desk.ask()
        await wait_until(lambda: desk.told()["trouble"] is not None)
        told = desk.told()
        assert says in told["trouble"]["text"]
        assert "example.org" not in json.dumps(told)
        assert told["last"]["result"] == "sound"
        audits.failure = None
        desk.ask()
        await wait_until(lambda: not desk.told()["running"])
        assert desk.told()["trouble"] is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"result": "sound"}'])
def test_a_file_that_is_no_result_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.json").write_text(text)
    assert kept_report(tmp_path / "audit.json") is None


async def _me(request: Request) -> Response:
    roles = ROLES.get(request.headers["authorization"])
    return JSONResponse({"roles": roles}) if roles else Response(status_code=401)


@asynccontextmanager
async def asking(desk: AuditDesk, auth: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        httpx.AsyncClient(base_url="http://auth.test", transport=auth) as asked,
        httpx.AsyncClient(
            base_url="http://auditor.test", transport=httpx.ASGITransport(AuditorApi(desk, asked).app())
        ) as client,
    ):
        yield client


async def test_operators_are_told_and_nobody_else(audits: Audits, tmp_path: Path) -> None:
    auth = httpx.ASGITransport(Starlette(routes=[Route("/auth/me", _me)]))
    async with working(audits, tmp_path / "audit.json") as desk, asking(desk, auth) as client:
        for method, path in (("GET", "/audit"), ("POST", "/audit/runs")):
            for given, status in (
                ({}, 401),
                ({"Authorization": "Bearer nobody"}, 401),
                ({"Authorization": "B" * 9000}, 401),
                ({"Authorization": "Bearer reader"}, 403),
            ):
                answer = await client.request(method, path, headers=given)
                assert answer.status_code == status
                assert "last" not in answer.text
        assert audits.taken == 0

        boss = {"Authorization": "Bearer boss"}
        assert (await client.get("/audit", headers=boss)).json()["last"] is None
        assert (await client.post("/audit/runs", headers=boss)).status_code == 202
        await wait_until(lambda: audits.taken == 1 and not desk.told()["running"])
        answer = await client.get("/audit", headers=boss)
        assert (answer.json()["last"]["result"], answer.headers["cache-control"]) == ("sound", "no-store")


async def test_while_nobody_can_say_who_asks_nobody_is_told(audits: Audits, tmp_path: Path) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    desk = AuditDesk(audits, tmp_path / "audit.json", every=0)
    for transport in (httpx.MockTransport(down), httpx.MockTransport(lambda _: httpx.Response(503))):
        async with asking(desk, transport) as client:
            answer = await client.get("/audit", headers={"Authorization": "Bearer boss"})
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unknown-caller")


async def test_it_is_alive_as_long_as_somebody_is_at_the_desk(audits: Audits, tmp_path: Path) -> None:
    class Abandoned(AuditDesk):
        async def work(self) -> None:
            """Goes home at once."""

    for desk, status in (
        (AuditDesk(audits, tmp_path / "audit.json", every=0), 200),
        (Abandoned(audits, tmp_path / "audit.json", every=0), 503),
    ):
        async with httpx.AsyncClient() as auth:
            app = AuditorApi(desk, auth).app()
            door = httpx.AsyncClient(base_url="http://auditor.test", transport=httpx.ASGITransport(app))
            async with app.router.lifespan_context(app), door as client:

                async def says(client: httpx.AsyncClient = client, status: int = status) -> bool:
                    return (await client.get("/healthz")).status_code == status

                await wait_until(says)
