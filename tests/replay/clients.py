"""The people of the stories: each acts over HTTP so that the event comes about that the story tells of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.catalog import ProductChanged, ProductListed, ProductRetired, StockAdjusted
from contracts.claims import CUSTOMER, OPERATOR
from contracts.order import OrderCancelled, OrderFulfilled, OrderPlaced
from contracts.payment import PaymentAuthorized, PaymentDeclined
from tests.support.harness import Harness
from tests.support.replay import Cues, ScriptedIds

VISA = "pm_card_visa"
CAPTURE_FAILS = "pm_card_captureFails"
CARDS = {"card_declined": "pm_card_chargeDeclined", "insufficient_funds": "pm_card_insufficientFunds"}
"""The test card that is declined with this code."""


@dataclass
class Client:
    """Somebody with a token, at a service whose next id can be chosen."""

    service: Harness
    ids: ScriptedIds

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user_id: UUID | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request of this user, of an operator without one; its request id is its own, so it uses up none of ours."""
        mint, now = self.service.mint, self.service.clock.now().timestamp()
        claims = mint.claims(user_id, roles=(CUSTOMER,) if user_id else (OPERATOR,), now=now)
        own = {"Authorization": f"Bearer {mint.sign(claims)}", "X-Request-ID": str(uuid4())}
        answer = await self.service.http.request(method, path, json=body, headers={**own, **(headers or {})})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def get(self, path: str) -> Any:
        """What an operator sees."""
        return (await self.send("GET", path)).json()


class Reader(Client):
    """Orders books at order_svc; the warehouse's hand too."""

    @property
    def cues(self) -> Cues:
        return {OrderPlaced: self.place, OrderCancelled: self.cancel, OrderFulfilled: self.fulfil}

    async def place(self, event: OrderPlaced) -> None:
        self.ids.next_is(event.order_id)
        body = {
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in event.lines],
            "expected_total": event.total.model_dump(),
        }
        key = {"Idempotency-Key": str(event.order_id)}
        await self.send("POST", "/orders", body, user_id=event.user_id, headers=key)

    async def cancel(self, event: OrderCancelled) -> None:
        """Only what the customer did: other cancellations are the service's own."""
        if event.reason == "customer":
            owner = next(e.user_id for e in self.service.outgoing() if isinstance(e, OrderPlaced))
            await self.send("POST", f"/orders/{event.order_id}/cancel", user_id=owner)

    async def fulfil(self, event: OrderFulfilled) -> None:
        await self.send("POST", f"/orders/{event.order_id}/fulfil")


class Bookseller(Client):
    """Keeps the catalogue."""

    @property
    def cues(self) -> Cues:
        return {
            ProductListed: self.list_product,
            ProductChanged: self.change,
            ProductRetired: self.retire,
            StockAdjusted: self.adjust,
        }

    async def list_product(self, event: ProductListed) -> None:
        product = event.model_dump(exclude={"version"})
        await self.send("POST", "/catalog/products", product | {"author": "Somebody", "description": ""})

    async def change(self, event: ProductChanged) -> None:
        changes = event.model_dump(exclude={"version", "sku"})
        await self.send("PATCH", f"/catalog/products/{event.sku}", changes, headers={"If-Match": "*"})

    async def retire(self, event: ProductRetired) -> None:
        await self.send("DELETE", f"/catalog/products/{event.sku}", headers={"If-Match": "*"})

    async def adjust(self, event: StockAdjusted) -> None:
        movement = {"delta": event.delta, "reason": event.reason}
        await self.send("POST", f"/catalog/products/{event.sku}/stock", movement)


@dataclass
class Payer(Client):
    """Pays at payment_svc: with `card`, or with one that is declined as the story has it."""

    payer_id: UUID
    card: str = VISA

    @property
    def cues(self) -> Cues:
        return {PaymentAuthorized: self.pay, PaymentDeclined: self.pay}

    async def pay(self, event: PaymentAuthorized | PaymentDeclined) -> None:
        self.ids.next_is(event.payment_id)
        card = CARDS[event.code] if isinstance(event, PaymentDeclined) else self.card
        body = {"order_id": str(event.order_id), "payment_method": card}
        key = {"Idempotency-Key": str(event.payment_id)}
        await self.send("POST", "/payments", body, user_id=self.payer_id, headers=key)
