"""`python -m order_svc rebuild` beside the running service: real events, a real journal, both databases."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from chassis.clock import SystemClock
from chassis.db import Store
from chassis.rebuild.command import document
from chassis.runtime import Environment
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.auth import SessionRevoked
from contracts.catalog import ProductChanged, ProductListed, ProductRetired
from contracts.money import Money
from order_svc.app import build
from order_svc.settings import OrderSettings
from order_svc.store import TOKENS, products
from tests.history.conftest import Orders, order_command
from tests.support.states import dump_store
from tests.support.tokens import TokenMint

pytestmark = pytest.mark.rabbit

EQUAL, NOT_EQUAL, NOT_TOLD = 0, 1, 2


def product(sku: str, version: int, amount: int = 1000) -> dict[str, Any]:
    price = Money(amount=amount + version, currency="EUR")
    return {"sku": sku, "title": f"{sku} {version}", "category": "Novels", "price": price, "version": version}


async def a_history(orders: Orders) -> None:
    """Products change and go, out of order; one key follows another and is withdrawn; a session ends."""
    await orders.hear(*(ProductListed(**product(f"BOOK-{number}", 1)) for number in range(20)))
    await orders.hear(ProductChanged(**product("BOOK-1", 3)), ProductChanged(**product("BOOK-1", 2)))
    await orders.hear(ProductRetired(**product("BOOK-2", 3)), ProductChanged(**product("BOOK-2", 2)))
    now = SystemClock().now()
    following = TokenMint("next-key").published
    await orders.hear(following, following.model_copy(update={"expires_at": now}), following)
    until = now + timedelta(minutes=15)
    await orders.hear(*(SessionRevoked(session_id=uuid4(), user_id=uuid4(), reason="x", until=until) for _ in "ab"))
    again = uuid4()
    for _ in range(3):
        await orders.tell(ProductChanged(**product("BOOK-3", 2)), id=again)
    await orders.publish("product.listed.v1", b"pasted by hand", "a-mistake")
    await orders.hear(ProductChanged(**product("BOOK-4", 2)))


async def test_it_finds_equality_and_difference_and_mends_what_was_tampered_with(orders: Orders) -> None:
    await a_history(orders)
    runtime = orders.runtime
    checked = await orders.rebuild("--json")
    assert checked.returncode == EQUAL, checked.stdout + checked.stderr
    report = json.loads(checked.stdout)
    rows = {found["table"]: found["rows"] for found in report["projections"]}
    assert rows == {"products": 20, "token_keys": 2, "revoked_sessions": 2}
    assert report["journal"]["cut"] is None
    assert len(report["journal"]["undecodable"]) == 1
    again = json.loads(json.dumps(document(await orders.compare())))
    assert again["projections"] == report["projections"]
    before = await dump_store(runtime.reader, runtime.definition.tables.metadata, without=["revoked_sessions"])

    async def tamper(uow: Any) -> None:
        await uow.execute(products.update().where(products.c.sku == "BOOK-1").values(price_amount=1, version=77))
        await uow.execute(products.delete().where(products.c.sku == "BOOK-2"))
        await uow.execute(TOKENS.keys.update().values(expires_at=SystemClock().now() + timedelta(days=999)))
        await uow.execute(TOKENS.revocations.delete())

    await runtime.writer.run_now(tamper)
    found = await orders.rebuild()
    assert found.returncode == NOT_EQUAL, found.stdout + found.stderr
    for said in ('different: 1: "BOOK-1"', 'missing: 1: "BOOK-2"', "different: 2:", "missing: 2:"):
        assert said in found.stdout, found.stdout
    mended = await orders.rebuild("--apply")
    assert mended.returncode == EQUAL, mended.stdout + mended.stderr
    assert "products: 2 rows written, 0 deleted" in mended.stdout
    after = await dump_store(runtime.reader, runtime.definition.tables.metadata, without=["revoked_sessions"])
    assert after == before, "outbox, inbox and all else as before, the products and keys as they were"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_it_writes_while_the_service_does(orders: Orders) -> None:
    """Two processes write to one SQLite file in turns, and what comes in meanwhile is not lost."""
    await orders.hear(*(ProductListed(**product(f"BOOK-{number}", 1)) for number in range(50)))
    await orders.runtime.writer.run_now(lambda uow: uow.execute(products.update().values(title="tampered")))
    applying = asyncio.create_task(orders.rebuild("--apply", "--json"))
    version = 1
    while not applying.done():
        version += 1
        await orders.hear(*(ProductChanged(**product(f"BOOK-{number}", version)) for number in range(0, 50, 5)))
    applied = await applying
    assert applied.returncode == EQUAL, applied.stdout + applied.stderr
    rows = {row["sku"]: row for row in await orders.runtime.reader.all(sa.select(products))}
    for number in range(50):
        row, newest = rows[f"BOOK-{number}"], version if number % 5 == 0 else 1
        assert (row["version"], row["title"]) == (newest, f"BOOK-{number} {newest}")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_new_store_learns_what_was_listed_long_ago(orders: Orders, tmp_path: Path) -> None:
    """Its inbox queue gets no old events; `migrate` and `rebuild --apply` give it what it needs to price an order."""
    await a_history(orders)
    url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    assert order_command("migrate", url=url).returncode == 0
    applied = await orders.rebuild("--apply", url=url)
    assert applied.returncode == EQUAL, applied.stdout + applied.stderr
    environment = Environment(store=Store(url), transport=MemoryTransport(MemoryBroker(), "order"))
    app = build(OrderSettings(database_url=url), environment)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        body = {"lines": [{"sku": "BOOK-1", "quantity": 2}]}
        headers = orders.mint.headers() | {"Idempotency-Key": "the first"}
        placed = await http.post("http://order/orders", json=body, headers=headers)
        retired = {"lines": [{"sku": "BOOK-2", "quantity": 1}]}
        refused = await http.post("http://order/orders", json=retired, headers=headers | {"Idempotency-Key": "second"})
    assert placed.status_code == 201, placed.text
    assert placed.json()["total"]["amount"] == 2 * 1003
    assert refused.json()["type"] == "/problems/unknown-product", refused.text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_without_a_journal_to_read_it_says_so(orders: Orders) -> None:
    refused = order_command("rebuild", url=orders.url, journal=orders.vhost.url("order"))
    assert refused.returncode == NOT_TOLD
    assert "the journal cannot be read" in refused.stderr
    assert refused.stdout == ""


def test_a_store_without_its_tables_is_left_alone(tmp_path: Path) -> None:
    refused = order_command("rebuild", "--apply", url=f"sqlite+aiosqlite:///{tmp_path / 'nothing.db'}")
    assert refused.returncode == NOT_TOLD
    assert "migrate" in refused.stderr
