"""A day in the shop on which a little of everything happens, and what all stores hold after it."""

from collections.abc import Collection
from typing import Any

from contracts.registry import SERVICES
from tests.shop.shop import NO_MONEY, Shop
from tests.support.states import dump_store


async def manage(shop: Shop, method: str, sku: str, body: Any = None) -> None:
    headers = (await shop.operator()).headers | {"If-Match": "*"}
    answer = await shop.request(method, f"/catalog/products/{sku}", json=body, headers=headers)
    assert answer.is_success, answer.text


async def a_day(shop: Shop) -> str:
    """Products come, change and go; orders are paid, declined, rejected, cancelled; somebody logs out."""
    await shop.stock(MOBY=9, EMMA=9, GONE=3)
    for price in (900, 1100, 1000):
        await manage(shop, "PATCH", "EMMA", {"price": {"amount": price, "currency": "EUR"}})
    await manage(shop, "DELETE", "GONE")
    anne, bert = await shop.register("anne"), await shop.register("bert")
    paid = await anne.buy(MOBY=1)
    cancelled = await bert.place(MOBY=2)
    await bert.cancel(cancelled)
    declined = await anne.place(EMMA=1)
    await anne.until(declined, "awaiting_payment")
    await anne.pay(declined, NO_MONEY)
    refunded = await bert.buy(EMMA=1)
    await bert.cancel(refunded)
    await bert.until(refunded, "refunded")
    await anne.place(EMMA=99)
    await bert.post("/auth/logout")
    await shop.settled()
    return paid


async def everything(shop: Shop, *, without: Collection[str] = ()) -> dict[str, dict[str, list[str]]]:
    """Every row of every store; `without` as in `dump_store`."""
    runtimes = {service: shop.runtime(service) for service in SERVICES}
    return {
        service: await dump_store(runtime.reader, runtime.definition.tables.metadata, without=without)
        for service, runtime in runtimes.items()
    }
