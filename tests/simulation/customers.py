"""Customers: they buy something, change their minds, repeat themselves, click twice, and look where they must not."""

import asyncio
from typing import TYPE_CHECKING, Final

from contracts.claims import CUSTOMER
from tests.simulation.asgi import Answer, call
from tests.simulation.person import Intent, Person

if TYPE_CHECKING:
    from tests.simulation.world import World

CARDS: Final = (
    *("pm_card_visa",) * 6,
    "pm_card_chargeDeclined",
    "pm_card_authenticationRequired",
    "pm_card_authenticationFails",
    "pm_card_captureFails",
    "pm_card_slow",
    "pm_card_lostAnswer",
)
_PLANS: Final = (*("pay",) * 4, "pay at once", "pay twice", "pay and cancel", "cancel", "cancel later", "abandon")
_NOT_YET: Final = frozenset({404, 409, 429, 500, 503})


class Customer(Person):
    """Goes shopping a few times."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world, name, CUSTOMER)

    @property
    def purchases(self) -> list[Intent]:
        return [intent for intent in self.intents if intent.call.path == "/orders"]

    async def shop(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(self.world.dice.seconds(6.0))
            await self.buy()

    async def buy(self) -> None:
        rng = self.world.dice.rng
        intent = self._choose()
        if rng.random() < 0.15:
            await asyncio.gather(self.send(intent), self.send(intent))
        placed = await self.insist(intent, rng.choice((1, 2, 4)))
        if rng.random() < 0.15:
            lines = [{"sku": self.world.skus[0], "quantity": 9}]
            await self.send(self.intend("orders 9, with the same key", intent.key, "/orders", {"lines": lines}))
        if rng.random() < 0.25:
            await self.send(intent)
        if placed is not None:
            await self._go_on(placed.json["id"], rng.choice(_PLANS))
        if rng.random() < 0.3:
            await self._snoop()

    def _choose(self) -> Intent:
        rng = self.world.dice.rng
        skus = rng.sample(self.world.skus, rng.randint(1, len(self.world.skus)))
        lines = [{"sku": sku, "quantity": rng.choice((1, 1, 1, 2))} for sku in skus]
        basket = ", ".join(f"{line['quantity']} {line['sku']}" for line in lines)
        return self.intend(f"orders {basket}", self.key(), "/orders", {"lines": lines})

    async def _go_on(self, order_id: str, plan: str) -> None:
        if plan not in {"pay at once", "cancel", "abandon"}:
            await self._wait_until_payable(order_id)
        match plan:
            case "pay" | "pay at once":
                await self._pay(order_id)
            case "pay twice":
                await asyncio.gather(self._pay(order_id), self._pay(order_id))
            case "pay and cancel":
                await asyncio.gather(self._pay(order_id), self._cancel(order_id))
            case "cancel":
                await self._cancel(order_id)
            case "cancel later":
                await self._pay(order_id)
                await asyncio.sleep(self.world.dice.seconds(10.0))
                await self._cancel(order_id)

    async def _wait_until_payable(self, order_id: str) -> None:
        """Look now and then; lose patience some time."""
        for _ in range(6):
            await asyncio.sleep(0.1 + self.world.dice.seconds(3.0))
            answer = await self.try_(call("GET", f"/orders/{order_id}"), "looks", order_id)
            if answer is not None and answer.status == 200 and answer.json["status"] != "pending":
                return

    async def _pay(self, order_id: str) -> None:
        """Try a card, or several, and finish what the bank asks for."""
        for _ in range(self.world.dice.rng.choice((1, 2, 3))):
            answer = await self._try_card(order_id)
            if answer is not None and answer.json["status"] not in {"declined", "requires_action"}:
                return

    async def _try_card(self, order_id: str) -> Answer | None:
        rng = self.world.dice.rng
        card, key = rng.choice(CARDS), self.key()
        body = {"order_id": order_id, "payment_method": card}
        intent = self.intend(f"pays with {card}", key, "/payments", body, order_id)
        if rng.random() < 0.15:
            await asyncio.gather(self.send(intent), self.send(intent))
        answer = await self.insist(intent, rng.choice((1, 3, 5)))
        if rng.random() < 0.2:
            await self.send(intent)
        if answer is not None:
            id = answer.json["id"]
            self.world.story.name(id, f"payment {key}")
            if answer.json["status"] == "requires_action" and rng.random() < 0.8:
                await asyncio.sleep(self.world.dice.seconds(5.0))
                await self.try_(call("POST", f"/payments/{id}/confirm"), "confirms", order_id)
        return answer

    async def _cancel(self, order_id: str) -> None:
        await asyncio.sleep(self.world.dice.seconds(2.0))
        for _ in range(self.world.dice.rng.choice((1, 1, 3))):
            await self.try_(call("POST", f"/orders/{order_id}/cancel"), "cancels", order_id)

    async def _snoop(self) -> None:
        """Somebody else's order: to read, to cancel, to pay. There is no such thing, for this customer."""
        others = (intent for customer in self.world.customers if customer is not self for intent in customer.purchases)
        known = [intent.order_id for intent in others if intent.order_id is not None]
        if not known:
            return
        order_id = self.world.dice.rng.choice(known)
        requests = (
            call("GET", f"/orders/{order_id}"),
            call("POST", f"/orders/{order_id}/cancel"),
            call(
                "POST",
                "/payments",
                {"order_id": order_id, "payment_method": CARDS[0]},
                idempotency_key=self.key(),
            ),
        )
        answer = await self.try_(self.world.dice.rng.choice(requests), "tries a stranger's order", order_id)
        if answer is not None and answer.status not in _NOT_YET:
            self.world.found(f"{self.name} is answered {answer.status} about order {order_id} of somebody else")
