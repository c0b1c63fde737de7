"""Real services, real events: what each keeps of the others' facts is what the journal makes of them."""

import asyncio
import json

import pytest

from ops.rebuild import breaches_of
from tests.e2e.client import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit]

PROJECTIONS = {
    "catalog": {"token_keys", "revoked_sessions"},
    "order": {"products", "token_keys", "revoked_sessions"},
    "payment": {"payables", "token_keys", "revoked_sessions"},
}


async def test_every_services_projections_equal_their_rebuild(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=5)
    await shop.buy(customer, sku)
    cancelled = await shop.buy(customer, sku)
    await shop.cancel(customer, cancelled)
    await shop.reaches(customer, cancelled, "refunded")
    out = await shop.call("auth", "POST", "/auth/logout", headers=customer.headers)
    assert out.is_success, out.text
    await shop.adds_up()
    for service, tables in PROJECTIONS.items():
        done = await asyncio.to_thread(shop.processes.rebuild, service)
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert breaches_of(report) == []
        assert {found["table"] for found in report["projections"] if found["rows"] > 0} == tables
        assert report["journal"]["cut"] is None
