"""The operator: lists products, counts stock, ships, takes products off sale, and gives money back."""

import asyncio
from typing import TYPE_CHECKING, Any

from contracts.claims import OPERATOR
from tests.simulation.asgi import call
from tests.simulation.person import Person

if TYPE_CHECKING:
    from tests.simulation.world import World


class Operator(Person):
    """Works a few rounds."""

    def __init__(self, world: "World") -> None:
        super().__init__(world, "operator", OPERATOR)

    async def fill_the_shelves(self) -> None:
        """Before anything goes wrong."""
        rng = self.world.dice.rng
        for sku in self.world.skus:
            details = {"title": f"The book {sku}", "author": "Somebody", "category": "Novels", "description": ""}
            price = {"amount": rng.choice((500, 1199, 2000)), "currency": "EUR"}
            await self.ask(call("POST", "/catalog/products", {"sku": sku, "price": price, **details}), f"lists {sku}")
            await self._count(sku, rng.choice((2, 5, 12)))

    async def work(self, rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.sleep(self.world.dice.seconds(12.0))
            await self._do_something()

    async def _do_something(self) -> None:
        rng = self.world.dice.rng
        sku = rng.choice(self.world.skus)
        match rng.choice(("ship", "ship", "refund", "refund", "retire", "list again", "reprice", "count", "count")):
            case "ship":
                for order in (await self._orders("paid"))[:2]:
                    await self.try_(call("POST", f"/orders/{order['id']}/fulfil"), "ships", order["id"])
            case "refund":
                orders = await self._orders(rng.choice(("paid", "fulfilled")))
                if orders:
                    order = rng.choice(orders)
                    await asyncio.gather(*(self._refund(order) for _ in range(rng.choice((1, 2, 3)))))
            case "retire":
                await self.try_(call("DELETE", f"/catalog/products/{sku}", if_match="*"), f"retires {sku}")
            case "list again":
                await self._change(sku, {"status": "listed"})
            case "reprice":
                await self._change(sku, {"price": {"amount": rng.choice((700, 1500)), "currency": "EUR"}})
            case _:
                await self._count(sku, rng.choice((-1, 1, 4)))

    async def _change(self, sku: str, changes: dict[str, Any]) -> None:
        await self.try_(call("PATCH", f"/catalog/products/{sku}", changes, if_match="*"), f"changes {sku}: {changes}")

    async def _count(self, sku: str, delta: int) -> None:
        body = {"delta": delta, "reason": "count"}
        request = call("POST", f"/catalog/products/{sku}/stock", body, idempotency_key=self.key())
        for _ in range(self.world.dice.rng.choice((1, 2))):
            if await self.try_(request, f"counts {delta:+} {sku}") is not None:
                return

    async def _refund(self, order: Any) -> None:
        """All that is left, or a part."""
        rng = self.world.dice.rng
        body: dict[str, Any] = {"reason": "goodwill"}
        if rng.random() < 0.8:
            body["amount"] = {"amount": rng.choice((100, 200, 400)), "currency": "EUR"}
        what = f"refunds {body.get('amount', {}).get('amount', 'all')}"
        intent = self.intend(what, self.key(), f"/payments/{order['payment_id']}/refunds", body, order["id"])
        await self.insist(intent, rng.choice((1, 3)))

    async def _orders(self, status: str) -> list[Any]:
        answer = await self.try_(call("GET", f"/orders?status={status}"), f"looks for {status} orders")
        return list(answer.json["items"]) if answer is not None and answer.status == 200 else []
