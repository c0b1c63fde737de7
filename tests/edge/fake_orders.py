"""Orders of the double: they are held after a moment, and tell their followers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.edge.fake_state import STATUS_NOTES, Json, RefusedError, ShopState


class FakeOrders:
    """order_svc as the pages meet it."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop

    def routes(self) -> list[Route]:
        return [
            Route("/orders", self._place, methods=["POST"]),
            Route("/orders", self._list_orders),
            Route("/orders/{id}", self._order),
            Route("/orders/{id}/timeline", self._timeline),
            Route("/orders/{id}/events", self._events),
            Route("/orders/{id}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _place(self, request: Request) -> Response:
        user = self._shop.user(request)
        answer = await self._shop.once(request, lambda body: self._new_order(user, body))
        order_id = json.loads(bytes(answer.body))["id"]
        if self._shop.hold_stock:
            asyncio.get_running_loop().call_later(0.15, self._hold, order_id)
        return answer

    def _hold(self, order_id: str) -> None:
        if self._shop.orders[order_id]["status"] == "pending":
            self._shop.move(order_id, "awaiting_payment")

    def _new_order(self, user: str, body: Json) -> Json:
        lines = []
        for line in body["lines"]:
            product, quantity = self._shop.known(line["sku"]), line["quantity"]
            unit = product["price"]
            lines.append(
                {
                    "sku": line["sku"],
                    "title": product["title"],
                    "quantity": quantity,
                    "unit_price": unit,
                    "line_total": unit | {"amount": unit["amount"] * quantity},
                }
            )
        total = {"amount": sum(line["line_total"]["amount"] for line in lines), "currency": "EUR"}
        if body.get("expected_total", total) != total:
            raise RefusedError(409, "price-changed")
        now = datetime.now(UTC)
        order: Json = {
            "id": str(uuid4()),
            "user": user,
            "status": "pending",
            "status_reason": None,
            "total": total,
            "refunded": total | {"amount": 0},
            "lines": lines,
            "pay_by": (now + timedelta(minutes=15)).isoformat(),
            "placed_at": now.isoformat(),
            "version": 1,
        }
        self._shop.orders[order["id"]], self._shop.timelines[order["id"]] = order, []
        self._shop.note(order["id"], *STATUS_NOTES["pending"])
        return order

    def _mine(self, request: Request) -> Json:
        order = self._shop.orders.get(request.path_params["id"])
        if order is None or order["user"] != self._shop.user(request):
            raise RefusedError(404, "not-found")
        return order

    async def _list_orders(self, request: Request) -> Response:
        user = self._shop.user(request)
        mine = [order for order in reversed(self._shop.orders.values()) if order["user"] == user]
        return JSONResponse({"items": mine, "next_cursor": None})

    async def _order(self, request: Request) -> Response:
        order = self._mine(request)
        until = request.query_params.get("until")
        with suppress(TimeoutError):
            async with asyncio.timeout(float(request.query_params.get("wait", "0"))):
                while until and order["status"] != until and not self._shop.closing:
                    await self._shop.changed.wait()
        return JSONResponse(order)

    async def _timeline(self, request: Request) -> Response:
        return JSONResponse({"items": self._shop.timelines[self._mine(request)["id"]]})

    async def _events(self, request: Request) -> Response:
        order = self._mine(request)
        if not self._shop.streams:
            raise RefusedError(429, "too-many-requests")
        after = int(request.headers.get("last-event-id", "0"))
        return StreamingResponse(self._stream(order["id"], after), media_type="text/event-stream")

    async def _stream(self, order_id: str, after: int) -> AsyncIterator[str]:
        self._shop.open_streams += 1
        try:
            yield ": hello\n\n"
            cuts = self._shop.cuts
            while cuts == self._shop.cuts:
                changed = self._shop.changed
                for entry in self._shop.timelines[order_id][after:]:
                    yield f"id: {entry['seq']}\nevent: timeline\ndata: {json.dumps(entry)}\n\n"
                after = len(self._shop.timelines[order_id])
                await changed.wait()
        finally:
            self._shop.open_streams -= 1

    async def _cancel(self, request: Request) -> Response:
        order = self._mine(request)
        order["status_reason"] = "customer"
        self._shop.move(order["id"], "refunding" if order["status"] == "paid" else "cancelled")
        return JSONResponse(order)
