"""The payment provider on a bad line: it keeps its books right, and tells of it late, twice, wrongly or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from contracts.money import Money
from payment_svc.providers.port import (
    AuthorizeRequest,
    AuthorizeResult,
    CaptureResult,
    ConfirmResult,
    FindResult,
    Notice,
    Page,
    RefundResult,
    Result,
    RetrieveResult,
    Unknown,
    VoidResult,
)
from payment_svc.providers.simulated import Intent, SimulatedProvider
from tests.simulation.faults import Dice
from tests.simulation.story import Story

ResultT = TypeVar("ResultT", bound=Result)


class BrokenAdapterError(RuntimeError):
    """Nothing a provider's adapter is expected to raise."""


class SimProvider:
    """Implements PaymentProvider over the simulated one. It outlives every process of ours: it is another company's."""

    def __init__(self, dice: Dice, story: Story, notify: Callable[[UUID], None]) -> None:
        self._inner = SimulatedProvider(slow_seconds=4.0)
        self._dice = dice
        self._story = story
        self._notify = notify
        self._requests: dict[str, AuthorizeRequest] = {}

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def remembers(self) -> bool:
        return True

    def accepts(self, payment_method: str) -> bool:
        return self._inner.accepts(payment_method)

    async def authorize(self, key: str, request: AuthorizeRequest) -> AuthorizeResult:
        async def act() -> AuthorizeResult:
            result = await self._inner.authorize(key, request)
            for intent in self._inner.intents:
                self._requests.setdefault(intent.reference, request)
            return result

        return await self._ask(key, act, request)

    async def confirm(self, key: str, reference: str) -> ConfirmResult:
        return await self._ask(key, lambda: self._inner.confirm(key, reference), self._requests.get(reference))

    async def capture(self, key: str, reference: str, amount: Money) -> CaptureResult:
        return await self._ask(key, lambda: self._inner.capture(key, reference, amount), self._requests.get(reference))

    async def void(self, key: str, reference: str) -> VoidResult:
        return await self._ask(key, lambda: self._inner.void(key, reference), self._requests.get(reference))

    async def refund(self, key: str, reference: str, amount: Money) -> RefundResult:
        return await self._ask(key, lambda: self._inner.refund(key, reference, amount), self._requests.get(reference))

    async def retrieve(self, reference: str) -> RetrieveResult:
        return await self._ask("look-up", lambda: self._inner.retrieve(reference), self._requests.get(reference))

    async def find(self, key: str) -> FindResult:
        return await self._ask(f"look-up of {key}", lambda: self._inner.find(key), None)

    async def list_since(self, cursor: str, limit: int) -> Page | Unknown:
        if self._dice.rolls("provider unreached"):
            return Unknown("connection refused")
        return await self._inner.list_since(cursor, limit)

    async def close(self) -> None:
        """Nothing is open."""

    def read_notice(self, body: bytes) -> Notice:
        return self._inner.read_notice(body)

    def books(self) -> dict[UUID, list[Intent]]:
        """Its side: the payments it has, by our order."""
        books: dict[UUID, list[Intent]] = {}
        for intent in self._inner.intents:
            books.setdefault(self._requests[intent.reference].order_id, []).append(intent)
        return books

    async def _ask(
        self, key: str, act: Callable[[], Awaitable[ResultT]], request: AuthorizeRequest | None
    ) -> ResultT | Unknown:
        order_id = request.order_id if request else None
        rolls = self._dice.rolls
        if rolls("provider unreached"):
            self._story.tell("provider", f"is not reached: {key}", order_id)
            return Unknown("connection refused")
        await asyncio.sleep(self._dice.seconds(0.5))
        result = await act()
        self._story.tell("provider", f"{key} → {type(result).__name__}", order_id)
        if request is not None and rolls("webhook"):
            self._notify(request.payment_id)
        if rolls("provider hangs"):
            await asyncio.sleep(60)
        if rolls("provider breaks"):
            raise BrokenAdapterError
        if rolls("provider's answer lost"):
            return Unknown("the answer was lost")
        return result
