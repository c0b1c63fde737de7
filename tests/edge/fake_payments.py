"""Payments of the double, by the provider's test cards."""

import asyncio
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.edge.fake_state import Json, RefusedError, ShopState

_DECLINES = {"pm_card_chargeDeclined": "card_declined", "pm_card_insufficientFunds": "insufficient_funds"}


class FakePayments:
    """payment_svc as the pages meet it."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop

    def routes(self) -> list[Route]:
        return [
            Route("/payments", self._pay, methods=["POST"]),
            Route("/payments", self._list_payments),
            Route("/payments/{id}/confirm", self._confirm, methods=["POST"]),
        ]

    async def _pay(self, request: Request) -> Response:
        self._shop.user(request)
        return await self._shop.once(request, self._new_payment)

    def _new_payment(self, body: Json) -> Json:
        order = self._shop.orders.get(body["order_id"])
        if order is None or order["status"] != "awaiting_payment":
            raise RefusedError(409, "order-not-payable")
        method = body["payment_method"]
        for earlier in self._shop.payments.values():
            if earlier["order_id"] == order["id"] and earlier["status"] == "requires_action":
                earlier["status"] = "voided"
        payment = {"id": str(uuid4()), "order_id": order["id"], "amount": order["total"], "status": "authorized"}
        self._shop.payments[payment["id"]] = payment
        if method in _DECLINES:
            payment.update(status="declined", decline_code=_DECLINES[method])
            self._shop.note(order["id"], "payment", "payment.declined", "The bank declined the card")
        elif method == "pm_card_authenticationRequired":
            payment.update(status="requires_action", next_action={"type": "confirm"})
        else:
            self._authorize(order["id"])
        return payment

    def _authorize(self, order_id: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.15, self._shop.move, order_id, "confirmed")
        loop.call_later(0.35, self._shop.move, order_id, "paid")

    async def _list_payments(self, request: Request) -> Response:
        self._shop.user(request)
        order_id = request.query_params["order_id"]
        return JSONResponse({"items": [p for p in self._shop.payments.values() if p["order_id"] == order_id]})

    async def _confirm(self, request: Request) -> Response:
        payment = self._shop.payments[request.path_params["id"]]
        if payment["status"] == "requires_action":
            payment["status"] = "authorized"
            self._authorize(payment["order_id"])
        return JSONResponse(payment)
