"""The provider behind HTTP: asks the payment company of `PAYMENT_PROVIDER_URL`, and believes no answer it cannot read.

Only a whole, valid answer about the very payment that was asked for is an outcome. Silence, a broken connection, a 5xx
and a body that makes no sense all mean the same: nobody knows, ask again with the same key.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel, Field, ValidationError

from contracts.money import Currency, Money
from payment_svc.providers.cards import KNOWN
from payment_svc.providers.notice import parse_notice
from payment_svc.providers.port import (
    Authorized,
    AuthorizeRequest,
    AuthorizeResult,
    Captured,
    CaptureResult,
    ConfirmResult,
    Declined,
    FindResult,
    IntentStatus,
    KeyReusedError,
    Listed,
    Missing,
    Notice,
    Page,
    Refunded,
    RefundResult,
    Refused,
    RequiresAction,
    RetrieveResult,
    Snapshot,
    Unknown,
    Voided,
    VoidResult,
)

CONNECTIONS: Final = 64
MAX_ANSWER: Final = 1_000_000

_Sum = Annotated[int, Field(strict=True, ge=0, le=10**12)]
_Short = Annotated[str, Field(max_length=255)]


class _Payment(BaseModel):
    """A payment as the company shows it."""

    reference: Annotated[str, Field(min_length=1, max_length=255)]
    payment_id: _Short = ""
    order_id: _Short = ""
    amount: _Sum
    currency: Currency
    status: IntentStatus
    code: _Short = ""
    captured: _Sum
    refunded: _Sum
    captures: _Sum = 0
    next_action: dict[_Short, _Short] | None = None

    @property
    def money(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.reference, self.status, self.money, captured=self.captured, refunded=self.refunded, code=self.code
        )

    @property
    def listed(self) -> Listed:
        return Listed(self.snapshot, _uuid(self.payment_id), _uuid(self.order_id), self.captures)


class _Payments(BaseModel):
    payments: list[_Payment]
    cursor: _Short
    more: bool


class _Error(BaseModel):
    code: Annotated[str, Field(min_length=1, max_length=80)]


class _Trouble(BaseModel):
    error: _Error


class _NoAnswerError(Exception):
    """There was none that can be understood; the message is for an operator."""


class RemoteProvider:
    """Implements PaymentProvider. At most `CONNECTIONS` calls at once; each ends after `call_seconds`."""

    name = "remote"
    remembers = True

    def __init__(
        self, url: str, key: str, *, call_seconds: float = 10.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._call_seconds = call_seconds
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(call_seconds, connect=min(call_seconds, 3.0)),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            transport=transport,
            trust_env=False,
        )

    def accepts(self, payment_method: str) -> bool:
        return payment_method in KNOWN

    async def authorize(self, key: str, request: AuthorizeRequest) -> AuthorizeResult:
        body = {
            "payment_id": str(request.payment_id),
            "order_id": str(request.order_id),
            "payment_method": request.payment_method,
            **request.amount.model_dump(),
        }
        try:
            answer = await self._post(key, "/v1/payments", body)
            if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                return Declined(_refusal(answer))
            payment = _read(_Payment, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        if payment.money != request.amount or payment.payment_id != str(request.payment_id):
            return Unknown("the answer is about another payment")
        return _outcome(payment)

    async def confirm(self, key: str, reference: str) -> ConfirmResult:
        try:
            answer = await self._post(key, f"{_path(reference)}/confirm", {})
            if answer.status_code == httpx.codes.NOT_FOUND:
                return Declined(_refusal(answer), reference)
            return _outcome(_about(reference, answer))
        except _NoAnswerError as error:
            return Unknown(str(error))

    async def capture(self, key: str, reference: str, amount: Money) -> CaptureResult:
        try:
            answer = await self._post(key, f"{_path(reference)}/capture", amount.model_dump())
            if answer.status_code in _REFUSALS:
                return Refused(_refusal(answer))
            payment = _about(reference, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        taken = payment.captured == amount.amount and payment.currency == amount.currency
        return Captured() if taken else Unknown(f"answered {payment.captured} captured, not {amount.amount}")

    async def void(self, key: str, reference: str) -> VoidResult:
        try:
            answer = await self._post(key, f"{_path(reference)}/void", {})
            if answer.status_code == httpx.codes.NOT_FOUND and _refusal(answer):
                return Voided()
            payment = _about(reference, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        match payment.status:
            case IntentStatus.VOIDED | IntentStatus.DECLINED:
                return Voided()
            case IntentStatus.CAPTURED:
                return Captured()
            case status:
                return Unknown(f"answered {status} to a void")

    async def refund(self, key: str, reference: str, amount: Money) -> RefundResult:
        try:
            answer = await self._post(key, f"{_path(reference)}/refunds", amount.model_dump())
            if answer.status_code in _REFUSALS:
                return Refused(_refusal(answer))
            payment = _about(reference, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        return Refunded() if payment.refunded >= amount.amount else Unknown("answered less than was to be given back")

    async def retrieve(self, reference: str) -> RetrieveResult:
        try:
            answer = await self._get(_path(reference))
            if answer.status_code == httpx.codes.NOT_FOUND and _refusal(answer):
                return Missing()
            return _about(reference, answer).snapshot
        except _NoAnswerError as error:
            return Unknown(str(error))

    async def find(self, key: str) -> FindResult:
        try:
            answer = await self._get(f"/v1/requests/{quote(key)}")
            if answer.status_code == httpx.codes.NOT_FOUND and _refusal(answer):
                return Missing()
            if answer.status_code in _REFUSALS:
                return Refused(_refusal(answer))
            payment = _read(_Payment, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        return Refunded() if payment.refunded else _outcome(payment)

    async def list_since(self, cursor: str, limit: int) -> Page | Unknown:
        try:
            answer = await self._get("/v1/payments", {"after": cursor, "limit": str(limit)})
            page = _read(_Payments, answer)
        except _NoAnswerError as error:
            return Unknown(str(error))
        return Page(tuple(payment.listed for payment in page.payments), page.cursor, page.more)

    def read_notice(self, body: bytes) -> Notice:
        return parse_notice(body)

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, key: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
        answer = await self._send(self._http.build_request("POST", path, json=body, headers={"Idempotency-Key": key}))
        if answer.status_code == httpx.codes.CONFLICT and _refusal(answer) == "key_reused":
            raise KeyReusedError(key)
        return answer

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        return await self._send(self._http.build_request("GET", path, params=query))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """
        Raises:
            _NoAnswerError: nothing came, or too much.
        """
        try:
            async with asyncio.timeout(self._call_seconds):  # of the whole: httpx bounds each read by itself only
                return await self._read_whole(await self._http.send(request, stream=True))
        except (httpx.HTTPError, TimeoutError) as error:
            raise _NoAnswerError(f"{type(error).__name__} on the way to the provider") from error

    async def _read_whole(self, answer: httpx.Response) -> httpx.Response:
        body = bytearray()
        try:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise _NoAnswerError("an answer without end")
        finally:
            await answer.aclose()
        return httpx.Response(answer.status_code, content=bytes(body))


_REFUSALS: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.UNPROCESSABLE_ENTITY})


def _path(reference: str) -> str:
    return f"/v1/payments/{quote(reference, safe='')}"


def _read(model: type[Any], answer: httpx.Response) -> Any:
    if answer.status_code != httpx.codes.OK:
        raise _NoAnswerError(f"the provider answered {answer.status_code}")
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise _NoAnswerError("the provider's answer makes no sense") from error


def _about(reference: str, answer: httpx.Response) -> _Payment:
    payment: _Payment = _read(_Payment, answer)
    if payment.reference != reference:
        raise _NoAnswerError("the answer is about another payment")
    return payment


def _refusal(answer: httpx.Response) -> str:
    """The code of a refusal: without one, whatever answered was not the provider (a proxy's 404, say)."""
    try:
        return _Trouble.model_validate_json(answer.content).error.code
    except ValidationError as error:
        raise _NoAnswerError(f"the provider answered {answer.status_code} and no reason") from error


def _outcome(payment: _Payment) -> Authorized | RequiresAction | Declined | Unknown:
    match payment.status:
        case IntentStatus.AUTHORIZED | IntentStatus.CAPTURED:
            return Authorized(payment.reference)
        case IntentStatus.REQUIRES_ACTION:
            return RequiresAction(payment.reference, payment.next_action or {})
        case IntentStatus.DECLINED:
            return Declined(payment.code or "card_declined", payment.reference)
        case IntentStatus.VOIDED:
            return Declined("cancelled", payment.reference)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
