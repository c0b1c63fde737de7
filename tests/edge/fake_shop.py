"""A double of the four services, in memory and on one port: what the storefront and the loader are driven against."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ops.demo.books import Book
from tests.edge.fake_operations import operations, unfinished

Json = dict[str, Any]

_TEXT = {
    "pending": ("order", "order.placed", "Order placed"),
    "awaiting_payment": ("catalog", "stock.reserved", "All books are held for this order"),
    "confirmed": ("payment", "payment.authorized", "Payment authorised"),
    "paid": ("payment", "payment.captured", "Payment settled"),
    "fulfilled": ("order", "order.fulfilled", "Handed to the carrier"),
    "rejected": ("catalog", "stock.rejected", "Not enough copies"),
    "cancelled": ("order", "order.cancelled", "Cancelled by the customer"),
    "refunding": ("order", "order.cancelled", "Cancelled by the customer; the money goes back"),
    "refunded": ("payment", "payment.refunded", "Refunded"),
}
_DECLINES = {"pm_card_chargeDeclined": "card_declined", "pm_card_insufficientFunds": "insufficient_funds"}


def problem(status: int, slug: str, **extra: Any) -> JSONResponse:
    """An RFC 9457 answer."""
    document = {"type": f"/problems/{slug}", "title": slug.replace("-", " "), "status": status, **extra}
    return JSONResponse(document, status, media_type="application/problem+json", headers={"Retry-After": "1"})


class RefusedError(Exception):
    """Raised by a route to answer a problem."""

    def __init__(self, status: int, slug: str, **extra: Any) -> None:
        super().__init__(slug)
        self.answer = problem(status, slug, **extra)


@dataclass
class FakeShop:
    """State and switches. `down`: first path segments that answer 503; `lose_answers`: how many POSTs with an
    idempotency key take effect and then answer 503; `streams`: whether event streams work."""

    products: dict[str, Json] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)
    timelines: dict[str, list[Json]] = field(default_factory=dict)
    payments: dict[str, Json] = field(default_factory=dict)
    kept: dict[str, tuple[str, Json]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    lose_answers: int = 0
    streams: bool = True
    hold_stock: bool = True
    requests: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    cuts: int = 0
    open_streams: int = 0
    closing: bool = False
    operators: set[str] = field(default_factory=set)
    letters: dict[str, list[Json]] = field(default_factory=dict)
    settled: list[tuple[str, str, str]] = field(default_factory=list)

    def stock(self, books: Iterable[Book]) -> None:
        """Put these on the shelves."""
        for book in books:
            facts = book.model_dump(mode="json", exclude={"stock"})
            self.products[book.sku] = facts | {"available": book.stock, "version": 1, "status": "active"}

    def move(self, order_id: str, status: str) -> None:
        """Move an order on and tell its followers."""
        order = self.orders[order_id]
        order.update(status=status, version=order["version"] + 1)
        self.note(order_id, *_TEXT[status])

    def note(self, order_id: str, service: str, event: str, text: str) -> None:
        """Add a timeline entry."""
        entries = self.timelines[order_id]
        status = self.orders[order_id]["status"]
        now = datetime.now(UTC).isoformat()
        entries.append(
            {"seq": len(entries) + 1, "at": now, "service": service, "event": event, "status": status, "text": text}
        )
        self._wake()

    def cut_streams(self) -> None:
        """End every open stream; new ones are welcome."""
        self.cuts += 1
        self._wake()

    def close(self) -> None:
        """End every open stream and long poll for good."""
        self.closing = True
        self.cut_streams()

    def _wake(self) -> None:
        waiting, self.changed = self.changed, asyncio.Event()
        waiting.set()

    def app(self) -> Starlette:
        """All routes of the four services."""
        routes = [
            Route("/auth/register", self._register, methods=["POST"]),
            Route("/auth/login", self._login, methods=["POST"]),
            Route("/auth/refresh", self._refresh, methods=["POST"]),
            Route("/auth/logout", self._logout, methods=["POST"]),
            Route("/auth/me", self._me),
            Route("/orders/operations/unfinished", self._unfinished),
            Route("/{prefix}/operations", self._operations),
            Route("/{prefix}/dead-letters", self._dead_letters),
            Route("/{prefix}/dead-letters/{id}", self._dead_letter),
            Route("/{prefix}/dead-letters/{verb}", self._settle, methods=["POST"]),
            Route("/catalog/products", self._create_product, methods=["POST"]),
            Route("/catalog/products", self._list_products),
            Route("/catalog/categories", self._categories),
            Route("/catalog/products/{sku}", self._product),
            Route("/catalog/products/{sku}/stock", self._adjust_stock, methods=["POST"]),
            Route("/orders", self._place, methods=["POST"]),
            Route("/orders", self._list_orders),
            Route("/orders/{id}", self._order),
            Route("/orders/{id}/timeline", self._timeline),
            Route("/orders/{id}/events", self._events),
            Route("/orders/{id}/cancel", self._cancel, methods=["POST"]),
            Route("/payments", self._pay, methods=["POST"]),
            Route("/payments", self._list_payments),
            Route("/payments/{id}/confirm", self._confirm, methods=["POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={RefusedError: _refuse})
        app.add_middleware(BaseHTTPMiddleware, dispatch=self._watch)
        return app

    async def _watch(self, request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if request.url.path.split("/")[1] in self.down:
            return problem(503, "service-unavailable")
        return await forward(request)

    def _user(self, request: Request) -> str:
        user = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            raise RefusedError(401, "unauthenticated")
        return user

    async def _once(self, request: Request, effect: Callable[[Json], Json]) -> JSONResponse:
        """Idempotency-Key as the real services treat it."""
        body = await request.body()
        key = request.headers.get("idempotency-key")
        if not key:
            raise RefusedError(400, "idempotency-key-required")
        if key in self.kept:
            text, answer = self.kept[key]
            if text != body.decode():
                raise RefusedError(422, "idempotency-key-reused")
            return JSONResponse(answer, 201, headers={"Idempotent-Replayed": "true"})
        answer = effect(json.loads(body))
        self.kept[key] = (body.decode(), answer)
        if self.lose_answers:
            self.lose_answers -= 1
            raise RefusedError(503, "service-unavailable")
        return JSONResponse(answer, 201)

    # auth

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        if len(body["password"]) < 12:
            errors = [{"pointer": "/password", "code": "too-short", "message": "Use at least 12 characters"}]
            raise RefusedError(422, "validation", errors=errors)
        if body["email"] in self.users:
            raise RefusedError(409, "email-taken")
        self.users[body["email"]] = body["password"]
        return JSONResponse({"user_id": str(uuid4())}, 201)

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        if self.users.get(body["email"]) != body["password"]:
            raise RefusedError(401, "unauthenticated")
        return self._open_session(body["email"])

    async def _refresh(self, request: Request) -> Response:
        if request.headers.get("x-requested-with") != "orderflow":
            raise RefusedError(403, "csrf")
        user = self.cookies.pop(request.cookies.get("refresh", ""), None)
        if user is None:
            raise RefusedError(401, "unauthenticated")
        return self._open_session(user)

    async def _logout(self, request: Request) -> Response:
        self.cookies.pop(request.cookies.get("refresh", ""), None)
        answer = Response(status_code=204)
        answer.delete_cookie("refresh", path="/auth")
        return answer

    def _open_session(self, user: str) -> Response:
        token, cookie = uuid4().hex, uuid4().hex
        self.tokens[token], self.cookies[cookie] = user, user
        answer = JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 600})
        answer.set_cookie("refresh", cookie, httponly=True, samesite="strict", path="/auth")
        return answer

    # operators

    def _operator(self, request: Request) -> None:
        if self._user(request) not in self.operators:
            raise RefusedError(403, "forbidden")

    async def _me(self, request: Request) -> Response:
        user = self._user(request)
        roles = ["customer", *(["operator"] if user in self.operators else [])]
        return JSONResponse({"email": user, "name": "Ada", "roles": roles})

    async def _operations(self, request: Request) -> Response:
        self._operator(request)
        prefix = request.path_params["prefix"]
        return JSONResponse(operations(prefix, len(self.letters.get(prefix, ()))))

    async def _unfinished(self, request: Request) -> Response:
        self._operator(request)
        return JSONResponse(unfinished())

    async def _dead_letters(self, request: Request) -> Response:
        self._operator(request)
        letters = self.letters.get(request.path_params["prefix"], [])
        return JSONResponse({"items": letters, "total": len(letters), "more": False})

    async def _dead_letter(self, request: Request) -> Response:
        self._operator(request)
        for letter in self.letters.get(request.path_params["prefix"], []):
            if letter["id"] == request.path_params["id"]:
                return JSONResponse(letter | {"encoding": "text", "body": '{"data":{"sku":"BK-1"}}', "complete": True})
        raise RefusedError(404, "not-found")

    async def _settle(self, request: Request) -> Response:
        self._operator(request)
        prefix, verb, body = request.path_params["prefix"], request.path_params["verb"], await request.json()
        [id] = body["ids"]
        self.letters[prefix] = [letter for letter in self.letters[prefix] if letter["id"] != id]
        self.settled.append((verb, id, body.get("reason", "")))
        outcome = {"redrive": "redriven", "discard": "discarded"}[verb]
        return JSONResponse({"items": [{"id": id, "outcome": outcome, "detail": ""}], "more": False})

    # catalog

    async def _create_product(self, request: Request) -> Response:
        self._user(request)
        body = await request.json()
        if body["sku"] in self.products:
            raise RefusedError(409, "product-exists")
        self.products[body["sku"]] = body | {"available": 0, "version": 1, "status": "active"}
        return JSONResponse(self.products[body["sku"]], 201)

    async def _adjust_stock(self, request: Request) -> Response:
        self._user(request)
        product = self._known(request.path_params["sku"])

        def add(body: Json) -> Json:
            product["available"] += body["delta"]
            return product

        return await self._once(request, add)

    def _known(self, sku: str) -> Json:
        if sku not in self.products:
            raise RefusedError(404, "not-found")
        return self.products[sku]

    async def _product(self, request: Request) -> Response:
        return JSONResponse(self._known(request.path_params["sku"]))

    async def _categories(self, request: Request) -> Response:
        names = sorted({product["category"] for product in self.products.values()})
        counts = [sum(product["category"] == name for product in self.products.values()) for name in names]
        items = [{"name": name, "count": count} for name, count in zip(names, counts, strict=True)]
        return JSONResponse({"items": items})

    async def _list_products(self, request: Request) -> Response:
        asked = request.query_params
        text, start = asked.get("q", "").lower(), int(asked.get("cursor", "0"))
        found = [
            product
            for product in self.products.values()
            if text in f"{product['title']} {product['author']}".lower()
            and asked.get("category", product["category"]) == product["category"]
            and (asked.get("in_stock") != "true" or product["available"] > 0)
        ]
        found.sort(key=lambda product: product["title"])
        if asked.get("sort", "title").endswith("price"):
            found.sort(key=lambda product: product["price"]["amount"], reverse=asked["sort"].startswith("-"))
        end = start + int(asked.get("limit", "20"))
        return JSONResponse({"items": found[start:end], "next_cursor": str(end) if end < len(found) else None})

    # orders

    async def _place(self, request: Request) -> Response:
        user = self._user(request)
        answer = await self._once(request, lambda body: self._new_order(user, body))
        order_id = json.loads(bytes(answer.body))["id"]
        if self.hold_stock:
            asyncio.get_running_loop().call_later(0.15, self._hold, order_id)
        return answer

    def _hold(self, order_id: str) -> None:
        if self.orders[order_id]["status"] == "pending":
            self.move(order_id, "awaiting_payment")

    def _new_order(self, user: str, body: Json) -> Json:
        lines = []
        for line in body["lines"]:
            product, quantity = self._known(line["sku"]), line["quantity"]
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
        self.orders[order["id"]], self.timelines[order["id"]] = order, []
        self.note(order["id"], *_TEXT["pending"])
        return order

    def _mine(self, request: Request) -> Json:
        order = self.orders.get(request.path_params["id"])
        if order is None or order["user"] != self._user(request):
            raise RefusedError(404, "not-found")
        return order

    async def _list_orders(self, request: Request) -> Response:
        user = self._user(request)
        mine = [order for order in reversed(self.orders.values()) if order["user"] == user]
        return JSONResponse({"items": mine, "next_cursor": None})

    async def _order(self, request: Request) -> Response:
        order = self._mine(request)
        until = request.query_params.get("until")
        with suppress(TimeoutError):
            async with asyncio.timeout(float(request.query_params.get("wait", "0"))):
                while until and order["status"] != until and not self.closing:
                    await self.changed.wait()
        return JSONResponse(order)

    async def _timeline(self, request: Request) -> Response:
        return JSONResponse({"items": self.timelines[self._mine(request)["id"]]})

    async def _events(self, request: Request) -> Response:
        order = self._mine(request)
        if not self.streams:
            raise RefusedError(429, "too-many-requests")
        after = int(request.headers.get("last-event-id", "0"))
        return StreamingResponse(self._stream(order["id"], after), media_type="text/event-stream")

    async def _stream(self, order_id: str, after: int) -> AsyncIterator[str]:
        self.open_streams += 1
        try:
            yield ": hello\n\n"
            cuts = self.cuts
            while cuts == self.cuts:
                changed = self.changed
                for entry in self.timelines[order_id][after:]:
                    yield f"id: {entry['seq']}\nevent: timeline\ndata: {json.dumps(entry)}\n\n"
                after = len(self.timelines[order_id])
                await changed.wait()
        finally:
            self.open_streams -= 1

    async def _cancel(self, request: Request) -> Response:
        order = self._mine(request)
        order["status_reason"] = "customer"
        self.move(order["id"], "refunding" if order["status"] == "paid" else "cancelled")
        return JSONResponse(order)

    # payments

    async def _pay(self, request: Request) -> Response:
        self._user(request)
        return await self._once(request, self._new_payment)

    def _new_payment(self, body: Json) -> Json:
        order = self.orders.get(body["order_id"])
        if order is None or order["status"] != "awaiting_payment":
            raise RefusedError(409, "order-not-payable")
        method = body["payment_method"]
        for earlier in self.payments.values():
            if earlier["order_id"] == order["id"] and earlier["status"] == "requires_action":
                earlier["status"] = "voided"
        payment = {"id": str(uuid4()), "order_id": order["id"], "amount": order["total"], "status": "authorized"}
        self.payments[payment["id"]] = payment
        if method in _DECLINES:
            payment.update(status="declined", decline_code=_DECLINES[method])
            self.note(order["id"], "payment", "payment.declined", "The bank declined the card")
        elif method == "pm_card_authenticationRequired":
            payment.update(status="requires_action", next_action={"type": "confirm"})
        else:
            self._authorize(order["id"])
        return payment

    def _authorize(self, order_id: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.15, self.move, order_id, "confirmed")
        loop.call_later(0.35, self.move, order_id, "paid")

    async def _list_payments(self, request: Request) -> Response:
        self._user(request)
        order_id = request.query_params["order_id"]
        return JSONResponse({"items": [p for p in self.payments.values() if p["order_id"] == order_id]})

    async def _confirm(self, request: Request) -> Response:
        payment = self.payments[request.path_params["id"]]
        if payment["status"] == "requires_action":
            payment["status"] = "authorized"
            self._authorize(payment["order_id"])
        return JSONResponse(payment)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.answer
