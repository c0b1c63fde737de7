"""What goes wrong at the simulator's door: each call is given a fate by seeded dice, mostly a good one."""

import asyncio
import random
from enum import StrEnum
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payment_svc.providers.simulator.settings import FaultSettings

_UNWELL: Final = b'{"error":{"code":"unwell"}}'


class Fate(StrEnum):
    """In `FaultSettings` each has a share of the calls."""

    HANG_AFTER = "hang_after"
    ERROR_AFTER = "error_after"
    RESET_AFTER = "reset_after"
    ERROR_BEFORE = "error_before"
    SLOW = "slow"
    WELL = "well"


class FaultyDoor:
    """ASGI around the API: everything under /v1 may meet a fate."""

    def __init__(self, app: ASGIApp, faults: FaultSettings) -> None:
        self._app = app
        self._faults = faults
        self._dice = random.Random(faults.seed)  # noqa: S311 - repeatable on purpose
        self.dealt: dict[Fate, int] = dict.fromkeys(Fate, 0)

    @property
    def faults(self) -> FaultSettings:
        return self._faults

    @faults.setter
    def faults(self, faults: FaultSettings) -> None:
        self._faults, self._dice = faults, random.Random(faults.seed)  # noqa: S311 - repeatable on purpose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        fate = self.draw()
        self.dealt[fate] += 1
        match fate:
            case Fate.WELL:
                await self._app(scope, receive, send)
            case Fate.SLOW:
                await asyncio.sleep(self.faults.slow_seconds)
                await self._app(scope, receive, send)
            case Fate.ERROR_BEFORE:
                await _answer(send, 503)
            case Fate.ERROR_AFTER:
                await self._app(scope, receive, _unheard)
                await _answer(send, 500)
            case Fate.RESET_AFTER:
                await self._app(scope, receive, _unheard)
                drop(receive)
            case Fate.HANG_AFTER:
                await self._app(scope, receive, _unheard)
                await asyncio.sleep(self.faults.hang_seconds)
                drop(receive)

    def draw(self) -> Fate:
        """The next fate."""
        roll = self._dice.random()
        for fate in Fate:
            roll -= getattr(self.faults, fate, 0.0)
            if roll < 0:
                return fate
        return Fate.WELL


def drop(receive: Receive) -> None:
    """Break the connection in the middle. ASGI has no word for it, so this reaches for uvicorn's own connection."""
    cycle: Any = getattr(receive, "__self__", None)
    cycle.transport.abort()


async def _unheard(_: Message) -> None:
    """The answer nobody gets."""


async def _answer(send: Send, status: int) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": _UNWELL})
