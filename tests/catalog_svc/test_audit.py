"""The audit's figures: they balance at rest, and show it when they do not."""

from datetime import timedelta
from uuid import uuid4

import httpx
from fastapi import FastAPI

from catalog_svc.tables import stock_ledger
from chassis.unit_of_work import UnitOfWork
from tests.catalog_svc.shop import cancelled, confirmed, deliver, placed, stocked
from tests.support.clocks import ManualClock
from tests.support.waiting import wait_until


async def test_every_unit_is_accounted_for(
    client: httpx.AsyncClient, app: FastAPI, operator: dict[str, str], clock: ManualClock
) -> None:
    runtime = app.state.runtime
    await stocked(runtime, A=10, B=0)
    held, sold, back = uuid4(), uuid4(), uuid4()
    reserve_by = clock.now() + timedelta(minutes=1)
    for order_id, quantity in ((held, 1), (sold, 2), (back, 4)):
        await deliver(runtime, placed(order_id, {"A": quantity}, reserve_by))
    await deliver(runtime, confirmed(sold))
    await deliver(runtime, cancelled(back))

    async def all_sent() -> bool:
        audit = (await client.get("/catalog/audit", headers=operator)).json()
        return bool(audit["outbox"]["pending"] == 0)

    await wait_until(all_sent)
    audit = (await client.get("/catalog/audit", headers=operator)).json()
    counts = {"received": 10, "on_hand": 8, "reserved": 1, "sold": 2}
    ledger = {f"ledger_{name}": count for name, count in counts.items()}
    assert audit["stock"][0] == {"sku": "A", "available": 7, "balanced": True, **counts, **ledger}
    assert audit["stock"][1]["balanced"]
    page = (await client.get("/catalog/audit/reservations", headers=operator)).json()
    assert {(row["order_id"], row["state"]) for row in page["items"]} == {
        (str(held), "held"),
        (str(sold), "committed"),
        (str(back), "released"),
    }
    assert all(row["ledger"] == [] for row in page["items"])
    assert audit["reservations_by_state"] == {"held": 1, "committed": 1, "released": 1}
    assert audit["sent"] == {
        "product.listed.v1": 2,
        "stock.adjusted.v1": 1,
        "stock.reserved.v1": 3,
        "stock.committed.v1": 1,
        "stock.released.v1": 1,
    }
    assert audit["received"] == {"order.placed.v1": 3, "order.confirmed.v1": 1, "order.cancelled.v1": 1}
    assert audit["outbox"] == {"pending": 0, "parked": 0, "oldest_pending_at": None, "rows": []}


async def test_a_missing_ledger_row_shows(client: httpx.AsyncClient, app: FastAPI, operator: dict[str, str]) -> None:
    await stocked(app.state.runtime, A=10)

    async def lose_a_row(uow: UnitOfWork) -> int:
        return await uow.execute(stock_ledger.delete())

    await app.state.runtime.writer.run_now(lose_a_row)
    [figures] = (await client.get("/catalog/audit", headers=operator)).json()["stock"]
    assert not figures["balanced"]
