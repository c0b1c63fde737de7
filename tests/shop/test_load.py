"""`shop load`'s orders against the whole shop in this process; afterwards it must add up."""

import httpx
import pytest

from auth_svc.settings import AuthSettings
from ops.load import Tally, percentile, run_load
from ops.shop_api import ShopApi
from tests.shop.shop import Shop

pytestmark = pytest.mark.parametrize("templates", ["sqlite"], indirect=True)


def asked(shop: Shop) -> tuple[ShopApi, httpx.AsyncClient]:
    mounts = {f"http://{service}": httpx.ASGITransport(app) for service, app in shop.apps.items()}
    http = httpx.AsyncClient(mounts=mounts, timeout=30)
    default = AuthSettings()
    operator = {"email": default.operator_email, "password": default.operator_password.get_secret_value()}
    state = {"services": {service: f"http://{service}" for service in shop.apps}, "operator": operator}
    return ShopApi(state, http), http


async def test_every_order_is_paid_and_the_shop_adds_up(shop: Shop) -> None:
    await shop.operator()
    api, http = asked(shop)
    told: list[int] = []
    async with http:
        tally = await run_load(api, http, rate=40, seconds=0.25, report=lambda now: told.append(now.due))
    assert (tally.due, tally.accepted, tally.paid, tally.failed) == (10, 10, 10, 0), tally.errors
    assert len(tally.accept_seconds) == len(tally.paid_seconds) == 10
    assert told[-1] == 10
    assert sum(sold for _, _, sold in (await shop.shelf()).values()) == 10
    await shop.audit()


async def test_an_order_that_cannot_be_paid_is_an_error_and_is_cancelled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.load.CARD", "no such card")
    await shop.operator()
    api, http = asked(shop)
    async with http:
        tally = await run_load(api, http, rate=40, seconds=0.05, report=lambda _: None)
    assert (tally.accepted, tally.paid, tally.failed) == (2, 0, 2)
    assert all("POST /payments answered" in error for error in tally.errors)
    await shop.audit()
    assert {held for _, held, _ in (await shop.shelf()).values()} == {0}


def test_percentiles_are_of_what_was_measured(templates: object) -> None:
    assert percentile([], 50) is None
    assert percentile([0.002, 0.001, 0.003], 50) == 2.0
    assert percentile([0.001] * 98 + [0.5, 0.7], 99) == 500.0
    assert Tally(5).to_json()["paid_ms"] == {"p50": None, "p99": None}
