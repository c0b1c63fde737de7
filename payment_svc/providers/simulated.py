"""A provider inside this process, as strict as a real one: for demonstrations and tests, with no real money.

What it answers follows from the request alone, and a payment's reference carries what is needed to go on with it, so
a restart changes nothing. What it remembers (to be strict about keys and sums) is bounded.
"""

import asyncio
import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from pydantic import ValidationError

from contracts.money import Money
from payment_svc.providers.port import (
    Authorized,
    AuthorizeRequest,
    AuthorizeResult,
    Captured,
    CaptureResult,
    ConfirmResult,
    Declined,
    IntentStatus,
    KeyReusedError,
    MalformedNoticeError,
    Missing,
    Notice,
    Refunded,
    RefundResult,
    Refused,
    RequiresAction,
    Result,
    RetrieveResult,
    Snapshot,
    Unknown,
    Voided,
    VoidResult,
)

MAX_REMEMBERED: Final = 20_000
NOTICE_TYPE: Final = "payment.updated"

ResultT = TypeVar("ResultT", bound=Result)


class Card(StrEnum):
    """The payment methods it knows, under Stripe's test names where Stripe has one."""

    VISA = "pm_card_visa"
    DECLINED = "pm_card_chargeDeclined"
    INSUFFICIENT_FUNDS = "pm_card_insufficientFunds"
    AUTHENTICATION_REQUIRED = "pm_card_authenticationRequired"
    AUTHENTICATION_FAILS = "pm_card_authenticationFails"
    CAPTURE_FAILS = "pm_card_captureFails"
    SLOW = "pm_card_slow"
    LOST_ANSWER = "pm_card_lostAnswer"


_DECLINES: Final = MappingProxyType({Card.DECLINED: "card_declined", Card.INSUFFICIENT_FUNDS: "insufficient_funds"})
_WITH_ACTION: Final = frozenset({Card.AUTHENTICATION_REQUIRED, Card.AUTHENTICATION_FAILS})
_KNOWN: Final = frozenset(card.value for card in Card)
_CODES: Final = MappingProxyType({card: f"{index:x}" for index, card in enumerate(Card)})
_CARDS: Final = MappingProxyType({code: card for card, code in _CODES.items()})


@dataclass(slots=True)
class Intent:
    """A payment as the provider has it. `remembered` is False for one rebuilt from its reference after a restart."""

    reference: str
    card: Card
    amount: Money
    status: IntentStatus
    captured: int = 0
    refunded: int = 0
    captures: int = 0
    code: str = ""
    remembered: bool = True


@dataclass(slots=True)
class _Memory:
    """The newest of what was seen; the oldest is forgotten, as a restart would forget it."""

    intents: OrderedDict[str, Intent] = field(default_factory=OrderedDict)
    answers: OrderedDict[str, tuple[str, Result]] = field(default_factory=OrderedDict)
    lost: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def trim(self) -> None:
        for memory in (self.intents, self.answers, self.lost):
            while len(memory) > MAX_REMEMBERED:
                memory.popitem(last=False)


class SimulatedProvider:
    """Implements PaymentProvider. `sleep` is how the slow card waits."""

    name = "simulated"

    def __init__(
        self, *, slow_seconds: float = 3.0, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._slow_seconds = slow_seconds
        self._sleep = sleep
        self._memory = _Memory()

    @property
    def intents(self) -> list[Intent]:
        """What it remembers, oldest first: its side of the books."""
        return list(self._memory.intents.values())

    def accepts(self, payment_method: str) -> bool:
        return payment_method in _KNOWN

    async def authorize(self, key: str, request: AuthorizeRequest) -> AuthorizeResult:
        card = Card(request.payment_method)
        if card is Card.SLOW:
            await self._sleep(self._slow_seconds)

        def act() -> AuthorizeResult:
            reference = _reference(key, card, request.amount)
            intent = _fresh_intent(reference, card, request.amount)
            self._memory.intents[reference] = intent
            if intent.status is IntentStatus.DECLINED:
                return Declined(intent.code, reference)
            if intent.status is IntentStatus.REQUIRES_ACTION:
                return RequiresAction(reference, {"type": "simulated_authentication"})
            return Authorized(reference)

        return self._once(key, f"authorize {request.payment_id} {request.amount} {card}", card, act)

    async def confirm(self, key: str, reference: str) -> ConfirmResult:
        intent = self._intent(reference)

        def act() -> ConfirmResult:
            if intent.status is IntentStatus.REQUIRES_ACTION:
                fails = intent.card is Card.AUTHENTICATION_FAILS
                intent.status = IntentStatus.DECLINED if fails else IntentStatus.AUTHORIZED
                intent.code = "authentication_failed" if fails else ""
            if intent.status in (IntentStatus.AUTHORIZED, IntentStatus.CAPTURED):
                return Authorized(reference)
            return Declined(intent.code or "cancelled", reference)

        return self._once(key, f"confirm {reference}", intent.card, act)

    async def capture(self, key: str, reference: str, amount: Money) -> CaptureResult:
        intent = self._intent(reference)

        def act() -> CaptureResult:
            if intent.status is IntentStatus.CAPTURED:
                return Captured()
            if intent.card is Card.CAPTURE_FAILS:
                intent.status = IntentStatus.VOIDED
                return Refused("capture_failed")
            if intent.status is not IntentStatus.AUTHORIZED or amount != intent.amount:
                return Refused("not_capturable")
            intent.status = IntentStatus.CAPTURED
            intent.captured = amount.amount
            intent.captures += 1
            return Captured()

        return self._once(key, f"capture {reference} {amount}", intent.card, act)

    async def void(self, key: str, reference: str) -> VoidResult:
        intent = self._intent(reference)

        def act() -> VoidResult:
            if intent.status is IntentStatus.CAPTURED:
                return Captured()
            intent.status = IntentStatus.VOIDED
            return Voided()

        return self._once(key, f"void {reference}", intent.card, act)

    async def refund(self, key: str, reference: str, amount: Money) -> RefundResult:
        intent = self._intent(reference)

        def act() -> RefundResult:
            if not intent.remembered and intent.status is IntentStatus.AUTHORIZED:
                intent.status = IntentStatus.CAPTURED  # before the restart: only what was captured is ever refunded
                intent.captured = intent.amount.amount
            if amount.currency != intent.amount.currency or intent.refunded + amount.amount > intent.captured:
                return Refused("refund_exceeds_capture")
            intent.refunded += amount.amount
            return Refunded()

        return self._once(key, f"refund {reference} {amount}", intent.card, act)

    async def retrieve(self, reference: str) -> RetrieveResult:
        try:
            intent = self._intent(reference)
        except LookupError:
            return Missing()
        if not intent.remembered:
            return Unknown("it was made before this provider was started")
        return Snapshot(
            reference,
            intent.status,
            intent.amount,
            captured=intent.captured,
            refunded=intent.refunded,
            code=intent.code,
        )

    def read_notice(self, body: bytes) -> Notice:
        """`{"id", "type", "data": {"payment_id", "amount", "currency"}}`."""
        try:
            document = json.loads(body)
            data = document.get("data") or {}
            payment_id, amount = data.get("payment_id"), data.get("amount")
            return Notice(
                id=_short_text(document["id"], 255),
                type=_short_text(document["type"], 80),
                relevant=document["type"] == NOTICE_TYPE,
                payment_id=UUID(payment_id) if payment_id is not None else None,
                amount=Money(amount=amount, currency=data["currency"]) if amount is not None else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
            raise MalformedNoticeError("not a notice of this provider") from error

    def _once(self, key: str, request: str, card: Card, act: Callable[[], ResultT]) -> ResultT:
        """The answer of the first call with this key; another request under it is refused, loudly."""
        known = self._memory.answers.get(key)
        if known is not None and known[0] != request:
            raise KeyReusedError(key)
        result = act() if known is None else known[1]
        self._memory.answers[key] = (request, result)
        self._memory.trim()
        if card is Card.LOST_ANSWER and key not in self._memory.lost:
            self._memory.lost[key] = None
            result = Unknown("the answer was lost on the way")
        return result  # type: ignore[return-value]  # what a key answered first has this call's type, or is Unknown

    def _intent(self, reference: str) -> Intent:
        """The payment, rebuilt from its reference if it is not remembered.

        Raises:
            LookupError: the reference is none of ours.
        """
        intent = self._memory.intents.get(reference)
        if intent is None:
            intent = self._memory.intents[reference] = _rebuilt_intent(reference)
        return intent


def _fresh_intent(reference: str, card: Card, amount: Money) -> Intent:
    if card in _DECLINES:
        return Intent(reference, card, amount, IntentStatus.DECLINED, code=_DECLINES[card])
    status = IntentStatus.REQUIRES_ACTION if card in _WITH_ACTION else IntentStatus.AUTHORIZED
    return Intent(reference, card, amount, status)


def _rebuilt_intent(reference: str) -> Intent:
    try:
        prefix, code, amount, currency, _ = reference.split("_")
        intent = _fresh_intent(reference, _CARDS[code], Money(amount=int(amount), currency=currency))
    except (ValueError, KeyError) as error:
        raise LookupError(reference) from error
    if prefix != "sim":
        raise LookupError(reference)
    intent.remembered = False
    return intent


def _reference(key: str, card: Card, amount: Money) -> str:
    digest = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:20]
    return f"sim_{_CODES[card]}_{amount.amount}_{amount.currency}_{digest}"


def _short_text(value: object, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise ValueError("not a short text")
    return value
