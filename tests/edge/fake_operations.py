"""The operators' side of the double: what a service tells of itself, and its dead letters."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.audit import ABOUT, DO, Check
from tests.edge.fake_state import Json, RefusedError, ShopState

PREFIXES = {"auth": "auth", "catalog": "catalog", "orders": "order", "payments": "payment"}


def a_letter(id: str, type: str = "order.placed.v1", error: str = "KeyError") -> Json:
    """A dead letter as a service lists it."""
    return {
        "id": id,
        "event_id": id,
        "type": type,
        "subject": None,
        "order_id": None,
        "reason": "failed",
        "error_type": error,
        "error_message": "'sku'",
        "attempt": 6,
        "redrives": 0,
        "first_failed_at": None,
        "died_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat(),
        "original_routing_key": type,
        "size": 20,
    }


def operations(prefix: str, dead: int) -> Json:
    """A service that works."""
    name = PREFIXES[prefix]
    queues = [
        {"queue": f"{name}.inbox", "ready": 0, "consumers": 1},
        {"queue": f"{name}.dead", "ready": dead, "consumers": 0},
        *({"queue": f"shop.retry.{tier}", "ready": 0, "consumers": 0} for tier in ("1s", "5s", "30s", "2m", "10m")),
    ]
    return {
        "service": name,
        "version": "0.1.0",
        "at": datetime.now(UTC).isoformat(),
        "failing": {},
        "outbox": {"pending": 0, "parked": 0, "oldest_pending_at": None},
        "queues": queues,
        "broker_error": None,
        "broker_page": "http://127.0.0.1:15682",
    }


def unfinished() -> Json:
    """One order that does not move."""
    now = datetime.now(UTC)
    since = (now - timedelta(minutes=7)).isoformat()
    order = {"id": "01a20964-9c20-7daa-9610-c370e0f00313", "status": "awaiting_payment", "since": since}
    return {
        "at": now.isoformat(),
        "states": [{"status": "awaiting_payment", "count": 1, "oldest_since": since}],
        "oldest": [order | {"deadline_at": None}],
    }


def _result(check: Check, wrong: set[Check]) -> str:
    """The journal is read only if somebody asks for it."""
    return "breach" if check in wrong else "not looked at" if check is Check.PROJECTIONS else "sound"


def an_audit(*breaches: tuple[Check, str, str], **differences: Any) -> Json:
    """What the auditor tells: the last audit, two minutes old, with these breaches (check, text, id)."""
    now = datetime.now(UTC)
    wrong = {check for check, _, _ in breaches}
    last: Json = {
        "result": "breach" if breaches else "sound",
        "at": (now - timedelta(minutes=2)).isoformat(),
        "checks": [
            {"check": each, "about": ABOUT[each], "do": DO[each], "result": _result(each, wrong)} for each in Check
        ],
        "breaches": [{"check": check, "text": text, "ids": [id], "seconds": None} for check, text, id in breaches],
        "moving": [],
        "notes": [{"check": "broker", "text": "1 dead letter in catalog.dead", "ids": [], "seconds": None}],
        "counts": {"breaches": len(breaches), "moving": 0, "notes": 1},
    }
    told = {"now": now.isoformat(), "running": False, "every_seconds": 300.0, "last": last, "trouble": None}
    return told | differences


class FakeOperators:
    """What each service tells its operators, and its dead letters."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop

    def routes(self) -> list[Route]:
        return [
            Route("/orders/operations/unfinished", self._unfinished),
            Route("/{prefix}/operations", self._operations),
            Route("/audit", self._audit),
            Route("/audit/runs", self._run_audit, methods=["POST"]),
            Route("/{prefix}/dead-letters", self._dead_letters),
            Route("/{prefix}/dead-letters/{id}", self._dead_letter),
            Route("/{prefix}/dead-letters/{verb}", self._settle, methods=["POST"]),
        ]

    async def _operations(self, request: Request) -> Response:
        self._shop.operator(request)
        prefix = request.path_params["prefix"]
        return JSONResponse(operations(prefix, len(self._shop.letters.get(prefix, ()))))

    async def _audit(self, request: Request) -> Response:
        self._shop.operator(request)
        if self._shop.audited is None:
            raise RefusedError(503, "service-unavailable")
        return JSONResponse(self._shop.audited)

    async def _run_audit(self, request: Request) -> Response:
        self._shop.audited = an_audit()
        return await self._audit(request)

    async def _unfinished(self, request: Request) -> Response:
        self._shop.operator(request)
        return JSONResponse(unfinished())

    async def _dead_letters(self, request: Request) -> Response:
        self._shop.operator(request)
        letters = self._shop.letters.get(request.path_params["prefix"], [])
        return JSONResponse({"items": letters, "total": len(letters), "more": False})

    async def _dead_letter(self, request: Request) -> Response:
        self._shop.operator(request)
        for letter in self._shop.letters.get(request.path_params["prefix"], []):
            if letter["id"] == request.path_params["id"]:
                return JSONResponse(letter | {"encoding": "text", "body": '{"data":{"sku":"BK-1"}}', "complete": True})
        raise RefusedError(404, "not-found")

    async def _settle(self, request: Request) -> Response:
        self._shop.operator(request)
        prefix, verb, body = request.path_params["prefix"], request.path_params["verb"], await request.json()
        [id] = body["ids"]
        self._shop.letters[prefix] = [letter for letter in self._shop.letters[prefix] if letter["id"] != id]
        self._shop.settled.append((verb, id, body.get("reason", "")))
        outcome = {"redrive": "redriven", "discard": "discarded"}[verb]
        return JSONResponse({"items": [{"id": id, "outcome": outcome, "detail": ""}], "more": False})
