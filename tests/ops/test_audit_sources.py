"""The audit's way to a running shop: which answers it takes for none, and what it reads from the management API."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from contracts.registry import SERVICES
from ops.audit import HttpSource, running_source
from ops.broker import ManagementApi
from ops.shop_api import ShopApi
from tests.ops.audited import an_id

EVENT = {
    "id": an_id(1),
    "source": "/order",
    "type": "order.placed.v1",
    "subject": "x",
    "time": "2026-03-14T12:00:00Z",
    "correlationid": an_id(2),
    "aggregateversion": 1,
    "data": {},
}


def answering(status: int, body: Any) -> HttpSource:
    async def ask(service: str, path: str) -> httpx.Response:
        return httpx.Response(status, json=body, request=httpx.Request("GET", f"http://{service}{path}"))

    return HttpSource(ask, None)


async def test_an_answer() -> None:
    assert await answering(200, {"at": "now"}).get("order", "/orders/audit") == {"at": "now"}


@pytest.mark.parametrize(("status", "slug"), [(404, "not-found"), (503, "provider-unavailable")])
async def test_what_cannot_be_had_is_none(status: int, slug: str) -> None:
    assert await answering(status, {"type": f"/problems/{slug}"}).get("payment", "/payments/audit/provider") is None


@pytest.mark.parametrize(("status", "slug"), [(503, "storage-unavailable"), (401, "unauthenticated"), (500, "x")])
async def test_a_service_that_cannot_answer_is_an_error(status: int, slug: str) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        await answering(status, {"type": f"/problems/{slug}"}).get("order", "/orders/audit")


class Management(ManagementApi):
    """Its figures are made up; a dead letter may be anything."""

    def queues(self, vhost: str) -> list[dict[str, Any]]:
        inboxes = [{"name": f"{service}.inbox", "messages": 0, "consumers": 0} for service in SERVICES]
        return [*inboxes, {"name": "order.dead", "messages": 2}, {"name": "shop.retry.5s", "messages": 3}]

    def get(self, path: str) -> Any:
        """The list of consumers is newer than the queues' own figure."""
        assert path == "consumers/books"
        return [{"queue": {"name": f"{service}.inbox"}} for service in SERVICES]

    def peek(self, vhost: str, queue: str, limit: int) -> list[dict[str, Any]]:
        assert (vhost, queue) == ("books", "order.dead")
        return [{"payload": json.dumps(EVENT)}, {"payload": "pasted by hand"}]


async def test_the_brokers_figures() -> None:
    source = HttpSource(ShopApi({}, httpx.AsyncClient()).get, lambda: Management("http://x", "", ""), "books")
    figures = await source.broker()
    assert figures is not None
    assert figures.dead == dict.fromkeys(SERVICES, 0) | {"order": 2}
    assert figures.dead_ids == {"order": frozenset({an_id(1)})}
    assert figures.consumers == dict.fromkeys(SERVICES, 1)
    assert figures.waiting["shop.retry.5s"] == 3
    assert not figures.empty
    assert figures.stale_seconds > 5


async def test_an_embedded_broker_has_no_figures() -> None:
    assert await running_source(ShopApi({}, httpx.AsyncClient())).broker() is None


async def test_a_login_that_ran_out_is_renewed() -> None:
    """An audit that waits for rest may take longer than a token lives."""
    logins = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal logins
        if request.url.path == "/auth/login":
            logins += 1
            return httpx.Response(200, json={"access_token": f"token-{logins}"})
        valid = request.headers["Authorization"] == "Bearer token-2"
        return httpx.Response(200 if valid else 401, json={})

    state = {
        "services": dict.fromkeys(SERVICES, "http://shop"),
        "operator": {"email": "keeper@example.com", "password": str(UUID(int=0))},
    }
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert (await ShopApi(state, http).get("order", "/orders/audit")).status_code == 200
    assert logins == 2
