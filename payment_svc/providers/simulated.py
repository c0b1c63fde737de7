"""A provider inside this process, as strict as a real one: for demonstrations and tests, with no real money.

What it answers follows from the request alone, and a payment's reference carries what is needed to go on with it, so
a restart changes nothing. What it remembers (to be strict about keys and sums) is bounded.
"""

import asyncio
import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from contracts.money import Money
from payment_svc.providers.cards import ACTION, DECLINES, KNOWN, WITH_ACTION, Card
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
    Result,
    RetrieveResult,
    Snapshot,
    Unknown,
    Voided,
    VoidResult,
)

MAX_REMEMBERED: Final = 5_000
"""Payments, and answers: 8 MiB. At ten orders a second they last for minutes, and a call is repeated after 20 s."""
NO_SUCH_PAYMENT: Final = "no_such_payment"

ResultT = TypeVar("ResultT", bound=Result)

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
    payment_id: UUID | None = None
    order_id: UUID | None = None
    changed: int = 0


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
    """Implements PaymentProvider. `sleep` is how the slow card waits.

    Not `alone`: other processes of the service have one, too, which knows what we do not. Then a refund proves the
    capture, as after a restart.
    """

    name = "simulated"
    remembers = False

    def __init__(
        self,
        *,
        slow_seconds: float = 3.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        alone: bool = True,
    ) -> None:
        self._alone = alone
        self._slow_seconds = slow_seconds
        self._sleep = sleep
        self._memory = _Memory()
        self._changes = 0
        self._life = secrets.token_hex(4)

    @property
    def intents(self) -> list[Intent]:
        """What it remembers, oldest first: its side of the books."""
        return list(self._memory.intents.values())

    def accepts(self, payment_method: str) -> bool:
        return payment_method in KNOWN

    async def authorize(self, key: str, request: AuthorizeRequest) -> AuthorizeResult:
        card = Card(request.payment_method)
        if card is Card.SLOW:
            await self._sleep(self._slow_seconds)

        reference = _reference(key, card, request.amount)

        def act() -> AuthorizeResult:
            intent = _fresh_intent(reference, card, request.amount)
            intent.payment_id, intent.order_id = request.payment_id, request.order_id
            self._memory.intents[reference] = intent
            if intent.status is IntentStatus.DECLINED:
                return Declined(intent.code, reference)
            if intent.status is IntentStatus.REQUIRES_ACTION:
                return RequiresAction(reference, ACTION)
            return Authorized(reference)

        return self._once(key, f"authorize {request.payment_id} {request.amount} {card}", reference, card, act)

    async def confirm(self, key: str, reference: str) -> ConfirmResult:
        intent = self._intent(reference)
        if intent is None:
            return Declined(NO_SUCH_PAYMENT, reference)

        def act() -> ConfirmResult:
            if intent.status is IntentStatus.REQUIRES_ACTION:
                fails = intent.card is Card.AUTHENTICATION_FAILS
                intent.status = IntentStatus.DECLINED if fails else IntentStatus.AUTHORIZED
                intent.code = "authentication_failed" if fails else ""
            if intent.status in (IntentStatus.AUTHORIZED, IntentStatus.CAPTURED):
                return Authorized(reference)
            return Declined(intent.code or "cancelled", reference)

        return self._once(key, f"confirm {reference}", reference, intent.card, act)

    async def capture(self, key: str, reference: str, amount: Money) -> CaptureResult:
        intent = self._intent(reference)
        if intent is None:
            return Refused(NO_SUCH_PAYMENT)

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

        return self._once(key, f"capture {reference} {amount}", reference, intent.card, act)

    async def void(self, key: str, reference: str) -> VoidResult:
        intent = self._intent(reference)
        if intent is None:
            return Voided()

        def act() -> VoidResult:
            if intent.status is IntentStatus.CAPTURED:
                return Captured()
            intent.status = IntentStatus.VOIDED
            return Voided()

        return self._once(key, f"void {reference}", reference, intent.card, act)

    async def refund(self, key: str, reference: str, amount: Money) -> RefundResult:
        intent = self._intent(reference)
        if intent is None:
            return Refused(NO_SUCH_PAYMENT)

        def act() -> RefundResult:
            if intent.status is IntentStatus.AUTHORIZED and not (intent.remembered and self._alone):
                intent.status = IntentStatus.CAPTURED  # elsewhere: only what was captured is ever refunded
                intent.captured = intent.amount.amount
            if amount.currency != intent.amount.currency or intent.refunded + amount.amount > intent.captured:
                return Refused("refund_exceeds_capture")
            intent.refunded += amount.amount
            return Refunded()

        return self._once(key, f"refund {reference} {amount}", reference, intent.card, act)

    async def retrieve(self, reference: str) -> RetrieveResult:
        intent = self._intent(reference)
        if intent is None:
            return Missing()
        if not intent.remembered:
            return Unknown("it was made before this provider was started")
        return _snapshot(intent)

    async def find(self, key: str) -> FindResult:
        known = self._memory.answers.get(key)
        return Missing() if known is None else known[1]  # type: ignore[return-value]  # asked for such keys only

    async def list_since(self, cursor: str, limit: int) -> Page | Unknown:
        """What this life remembers; a cursor of an earlier one begins anew."""
        life, _, number = cursor.partition(":")
        after = int(number) if life == self._life and number.isdecimal() else 0
        changed = sorted((i for i in self.intents if i.remembered and i.changed > after), key=lambda i: i.changed)
        items = tuple(Listed(_snapshot(i), i.payment_id, i.order_id, i.captures) for i in changed[:limit])
        last = changed[len(items) - 1].changed if items else after
        return Page(items, f"{self._life}:{last}", more=len(changed) > limit)

    async def close(self) -> None:
        """Nothing is open."""

    def read_notice(self, body: bytes) -> Notice:
        return parse_notice(body)

    def _once(self, key: str, request: str, reference: str, card: Card, act: Callable[[], ResultT]) -> ResultT:
        """The answer of the first call with this key; another request under it is refused, loudly."""
        known = self._memory.answers.get(key)
        if known is not None and known[0] != request:
            raise KeyReusedError(key)
        result = act() if known is None else known[1]
        if known is None:
            self._changes += 1
            self._memory.intents[reference].changed = self._changes
        self._memory.answers[key] = (request, result)
        self._memory.trim()
        if card is Card.LOST_ANSWER and key not in self._memory.lost:
            self._memory.lost[key] = None
            result = Unknown("the answer was lost on the way")
        return result  # type: ignore[return-value]  # what a key answered first has this call's type, or is Unknown

    def _intent(self, reference: str) -> Intent | None:
        """The payment, rebuilt from its reference if it is not remembered; None if the reference is none of ours."""
        intent = self._memory.intents.get(reference) or _rebuilt_intent(reference)
        if intent is not None:
            self._memory.intents[reference] = intent
        return intent


def _fresh_intent(reference: str, card: Card, amount: Money) -> Intent:
    if card in DECLINES:
        return Intent(reference, card, amount, IntentStatus.DECLINED, code=DECLINES[card])
    status = IntentStatus.REQUIRES_ACTION if card in WITH_ACTION else IntentStatus.AUTHORIZED
    return Intent(reference, card, amount, status)


def _rebuilt_intent(reference: str) -> Intent | None:
    try:
        prefix, code, amount, currency, _ = reference.split("_")
        intent = _fresh_intent(reference, _CARDS[code], Money(amount=int(amount), currency=currency))
    except (ValueError, KeyError):
        return None
    intent.remembered = False
    return intent if prefix == "sim" else None


def _reference(key: str, card: Card, amount: Money) -> str:
    digest = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:20]
    return f"sim_{_CODES[card]}_{amount.amount}_{amount.currency}_{digest}"


def _snapshot(intent: Intent) -> Snapshot:
    return Snapshot(
        intent.reference,
        intent.status,
        intent.amount,
        captured=intent.captured,
        refunded=intent.refunded,
        code=intent.code,
    )
