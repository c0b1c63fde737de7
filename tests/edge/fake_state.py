"""What the double of the four services knows, and what its parts share: who asks, keys, the way to refuse."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from ops.demo.books import Book

Json = dict[str, Any]

STATUS_NOTES = {
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
class ShopState:
    """State and switches. `down`: first path segments that answer 503; `lose_answers`: how many POSTs with an
    idempotency key take effect and then answer 503; `streams`: whether event streams work; `audited`: what the auditor
    tells, if there is one."""

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
    audited: Json | None = None

    def stock(self, books: Iterable[Book]) -> None:
        """Put these on the shelves."""
        for book in books:
            facts = book.model_dump(mode="json", exclude={"stock"})
            self.products[book.sku] = facts | {"available": book.stock, "version": 1, "status": "active"}

    def move(self, order_id: str, status: str) -> None:
        """Move an order on and tell its followers."""
        order = self.orders[order_id]
        order.update(status=status, version=order["version"] + 1)
        self.note(order_id, *STATUS_NOTES[status])

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

    def user(self, request: Request) -> str:
        """Who asks; refuses those nobody knows."""
        user = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            raise RefusedError(401, "unauthenticated")
        return user

    async def once(self, request: Request, effect: Callable[[Json], Json]) -> JSONResponse:
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

    def operator(self, request: Request) -> None:
        """Refuse whoever is no operator."""
        if self.user(request) not in self.operators:
            raise RefusedError(403, "forbidden")

    def known(self, sku: str) -> Json:
        """The product of that name; refuses others."""
        if sku not in self.products:
            raise RefusedError(404, "not-found")
        return self.products[sku]
