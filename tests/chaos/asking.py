"""Asking until there is an answer: every attempt is in the journal first, every repetition has the same key."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from bench.http import Answer
from tests.chaos.door import Door, NoAnswerError, RefusedError
from tests.chaos.journal import Journal
from tests.chaos.record import Ask, Outcome, Record

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 3.0
PAUSE_OF_THE_PATIENT: Final = 8.0
"""After 429 and 503: whoever is told that there is too much to do comes back later each time."""
TEMPORARY: Final = {"idempotency-in-progress", "payment-in-progress", "order-not-payable"}
"""Refusals that end by themselves. The last one also says `not asked for yet`; whoever pays watches the order, too."""


@dataclass(frozen=True, slots=True)
class Call:
    """One thing somebody wants done once."""

    name: str
    service: str
    target: str
    key: str = ""
    body: dict[str, Any] | None = None
    not_found_yet: bool = False
    """A 404 means `not heard of it yet`."""
    private: bool = False
    """Bodies hold passwords or tokens: they stay out of the journal."""


class Asker:
    """Sends calls, again and again where nothing certain came back."""

    def __init__(self, doors: Mapping[str, Door], journal: Journal, record: Record, rng: random.Random) -> None:
        self.doors = doors
        self._journal = journal
        self._record = record
        self._rng = rng
        self._numbers = itertools.count(1)

    async def insist(self, call: Call, headers: Mapping[str, str]) -> tuple[Answer, int]:
        """The final answer, and how many attempts it took. Never gives up: whoever does not wait cancels."""
        pause = FIRST_PAUSE
        for attempt in itertools.count(1):
            outcome, answer = await self._try(call, headers, attempt)
            if answer is not None and outcome in {"ok", "no"}:
                return answer, attempt
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))  # patience of a client, not of a test
            busy = answer is not None and answer.status in {429, 503}
            pause = min(pause * 2, PAUSE_OF_THE_PATIENT if busy else LONGEST_PAUSE)
        raise AssertionError("not reached")

    async def _try(self, call: Call, headers: Mapping[str, str], attempt: int) -> tuple[Outcome, Answer | None]:
        number = next(self._numbers)
        now = self._record.watch.now
        intent = {"n": number, "at": round(now(), 3), "call": call.name, "key": call.key, "try": attempt}
        await self._journal.intend({**intent, "target": call.target, "body": None if call.private else call.body})
        begun = now()
        answer: Answer | None = None
        outcome: Outcome = "unknown"
        try:
            key = {"Idempotency-Key": call.key} if call.key else {}
            answer = await self.doors[call.service].ask("POST", call.target, {**headers, **key}, call.body)
            outcome = _judge(call, answer)
        except RefusedError:
            outcome = "refused"
        except NoAnswerError:
            pass  # unknown it is
        status = answer.status if answer else 0
        text = answer.body.decode(errors="replace") if answer else ""
        self._journal.note(
            {"n": number, "key": call.key, "outcome": outcome, "status": status, "answer": "" if call.private else text}
        )
        self._record.asks.append(Ask(begun, call.service, call.name, now() - begun, outcome, attempt, status))
        if status == 500:
            self._record.complaints.append(f"{call.name} was answered 500: {text[:300]}")
        return outcome, answer


def _judge(call: Call, answer: Answer) -> Outcome:
    if answer.status < 300:
        return "ok"
    if answer.status == 429 or answer.status >= 500 or (answer.status == 404 and call.not_found_yet):
        return "again"
    problem = str(answer.json().get("type", "")).removeprefix("/problems/")
    return "again" if problem in TEMPORARY else "no"


def order_id_of(answer: Answer) -> UUID:
    """The id of the order in an answer."""
    return UUID(answer.json()["id"])
