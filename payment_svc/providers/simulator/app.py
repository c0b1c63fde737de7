"""The simulator's HTTP door: a payment API in the manner of the trade, strict about keys; a route for its faults."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeAlias

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payment_svc.providers.cards import ACTION, KNOWN, Card
from payment_svc.providers.simulator.books import Account, Books, RefusedError
from payment_svc.providers.simulator.faults import FaultyDoor
from payment_svc.providers.simulator.mail import Mail
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings

Deed: TypeAlias = Callable[[Any, Mapping[str, Any]], Account]
MAX_PAGE: Final = 500
MAX_TOLD: Final = 100_000


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Sum(_Request):
    amount: Annotated[int, Field(gt=0)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]


class _NewPayment(_Sum):
    payment_id: Annotated[str, Field(min_length=1, max_length=100)]
    order_id: Annotated[str, Field(min_length=1, max_length=100)]
    payment_method: str


class Simulator:
    """The house: its books, its mail and the routes over them. `faults` is replaced by `PUT /admin/faults`.

    `webhooks` is the way to the merchant, if it is not the network.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        faults: FaultSettings,
        webhooks: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.books = Books(settings.database)
        self.door = FaultyDoor(self._app(), faults)
        self.mail = Mail(self.books, settings, faults, webhooks)

    @property
    def faults(self) -> FaultSettings:
        return self.door.faults

    def behave(self, faults: FaultSettings) -> None:
        self.door.faults = self.mail.faults = faults

    def _app(self) -> Starlette:
        deeds: dict[str, Deed] = {
            "confirm": lambda account, request: self.books.confirm(account, request),
            "capture": lambda account, request: self.books.capture(account, request),
            "void": lambda account, request: self.books.void(account, request),
            "refunds": lambda account, request: self.books.refund(account, request),
        }
        routes = [
            Route("/healthz", self._healthz),
            Route("/v1/payments", self._list, methods=["GET"]),
            Route("/v1/payments", self._authorize, methods=["POST"]),
            Route("/v1/payments/{reference}", self._read),
            Route("/v1/requests/{key:path}", self._find),
            Route("/v1/books", self._books),
            Route("/admin/faults", self._set_faults, methods=["PUT"]),
            Route("/admin/webhooks", self._tell_again, methods=["POST"]),
            *(
                Route(f"/v1/payments/{{reference}}/{name}", self._changing(name, deed), methods=["POST"])
                for name, deed in deeds.items()
            ),
        ]
        return Starlette(routes=routes, lifespan=self._life)

    @asynccontextmanager
    async def _life(self, _: Starlette) -> Any:
        await self.mail.start()
        try:
            yield
        finally:
            await self.mail.stop()
            self.books.close()

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _set_faults(self, request: Request) -> Response:
        if not self._knows(request):
            return _error(401, "unauthenticated")
        try:
            self.behave(FaultSettings.only(**await request.json()))
        except (ValueError, TypeError) as error:
            return _error(400, "invalid", str(error))
        return JSONResponse(self.faults.model_dump())

    async def _tell_again(self, request: Request) -> Response:
        """Send a webhook for every payment, as people at a provider do for a merchant who missed some."""
        if not self._knows(request):
            return _error(401, "unauthenticated")
        accounts = self.books.changed_since(0, MAX_TOLD)
        self.books.transaction(lambda: self.mail.post(*accounts))
        self.mail.wake()
        return JSONResponse({"payments": len(accounts)})

    async def _list(self, request: Request) -> Response:
        if not self._knows(request):
            return _error(401, "unauthenticated")
        after, limit = request.query_params.get("after", ""), request.query_params.get("limit", "100")
        if not (after or "0").isdecimal() or not limit.isdecimal() or not 0 < int(limit) <= MAX_PAGE:
            return _error(400, "invalid")
        found = self.books.changed_since(int(after or "0"), int(limit) + 1)
        page = found[: int(limit)]
        cursor = str(page[-1].changed) if page else after or "0"
        return JSONResponse(
            {"payments": [a.document() for a in page], "cursor": cursor, "more": len(found) > len(page)}
        )

    async def _read(self, request: Request) -> Response:
        if not self._knows(request):
            return _error(401, "unauthenticated")
        account = self.books.payment(request.path_params["reference"])
        return _error(404, "no_such_payment") if account is None else JSONResponse(account.document())

    async def _find(self, request: Request) -> Response:
        """What was done under a key, from the records; they remember longer than the keys do."""
        if not self._knows(request):
            return _error(401, "unauthenticated")
        found = self.books.recorded(request.path_params["key"])
        return _error(404, "no_such_request") if found is None else _stored(*found)

    async def _books(self, request: Request) -> Response:
        return JSONResponse(self.books.totals()) if self._knows(request) else _error(401, "unauthenticated")

    async def _authorize(self, request: Request) -> Response:
        def deed(_: Account | None, body: Mapping[str, Any]) -> Account:
            return self.books.authorize(body)

        return await self._once(request, _NewPayment, None, deed)

    def _changing(self, name: str, deed: Deed) -> Callable[[Request], Any]:
        shape = _Sum if name in {"capture", "refunds"} else _Request

        async def route(request: Request) -> Response:
            return await self._once(request, shape, request.path_params["reference"], deed)

        return route

    async def _once(self, request: Request, shape: type[_Request], reference: str | None, deed: Deed) -> Response:
        """Do it under its key: the same request is answered as the first time, another one under it is refused."""
        if not self._knows(request):
            return _error(401, "unauthenticated")
        key = request.headers.get("idempotency-key", "")
        try:
            body = shape.model_validate_json(await request.body() or b"{}").model_dump()
        except (ValidationError, ClientDisconnect):
            return _error(400, "invalid")
        if not 0 < len(key) <= 255 or body.get("payment_method", Card.VISA) not in KNOWN:
            return _error(400, "invalid")
        if body.get("payment_method") == Card.SLOW:
            await asyncio.sleep(self.faults.slow_seconds)
        asked = json.dumps([request.url.path, body], sort_keys=True)
        known = self.books.remembered(key)
        if known is not None:
            return _stored(*known[1:]) if known[0] == asked else _error(409, "key_reused")
        account = self.books.payment(reference) if reference is not None else None
        if reference is not None and account is None:
            return _error(404, "no_such_payment")
        status, answer = self.books.transaction(lambda: self._do(key, asked, account, body, deed))
        self.mail.wake()
        card = account.card if account else body["payment_method"]
        return _error(500, "lost") if card == Card.LOST_ANSWER else _stored(status, answer)

    def _do(
        self, key: str, asked: str, account: Account | None, body: Mapping[str, Any], deed: Deed
    ) -> tuple[int, str]:
        before = account.changed if account is not None else 0
        try:
            account = deed(account, body)
            status, document = 200, _answer(account)
        except RefusedError as refusal:
            status, document = 422, {"error": {"code": str(refusal)}}
        answer = json.dumps(document)
        self.books.keep(key, asked, status, answer, keys_kept=self.faults.keys_kept)
        if account is not None and account.changed != before:
            self.mail.post(account)
        return status, answer

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(given, f"Bearer {self.settings.key.get_secret_value()}".encode())


def _answer(account: Account) -> dict[str, Any]:
    document = account.document()
    return document | {"next_action": dict(ACTION)} if account.status == "requires_action" else document


def _stored(status: int, answer: str) -> Response:
    return Response(answer, status, media_type="application/json")


def _error(status: int, code: str, message: str = "") -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
