"""The dead letter office of a service: look at what could not be handled, send it back to work, or throw it away.

All with the service's own broker user, and nothing is open at the broker while nobody asks. Every verb may be repeated,
and may die half-way: a letter leaves the dead queue last, and what is sent twice is handled once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Table

from chassis.discards import Discard, record
from chassis.fields import Answer
from chassis.ids import Ids
from chassis.letters import EVERY_LETTER, Letter, LetterFilter, OpenedLetter, letter_id, open_letter, read_letter
from chassis.retry import redriven_message
from chassis.seedwork import DomainError, ErrorKind, NotFoundError
from chassis.topology import dead_queue
from chassis.transport import BrokerUnavailableError, Browse, Delivery, Outcome, PublishResult, Transport
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer

log = structlog.get_logger()

MAX_HELD: Final = 1_000
"""How many letters one look takes in at most; those behind them come into sight when these are settled."""

MAX_HELD_BYTES: Final = 32 * 1024 * 1024
WINDOW: Final = 100
STILL_THERE: Final = "The broker went away before the letter was taken out; it may come again, which does no harm."


class Fate(StrEnum):
    """What became of a letter somebody asked to settle."""

    REDRIVEN = "redriven"
    WOULD_REDRIVE = "would_redrive"
    DISCARDED = "discarded"
    WOULD_DISCARD = "would_discard"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    """The broker did not take it; the letter stays."""

    UNCERTAIN = "uncertain"
    """The broker did not answer: it may have been sent. The letter stays; redriving it again does no harm."""


class LetterPage(Answer):
    """`total` letters lie in the queue; `more` of them match, or could not be looked at."""

    items: list[Letter]
    total: int
    more: bool


class Settled(Answer):
    """What became of one letter; `detail` says why, where that is not plain."""

    id: str
    event_id: UUID | None
    type: str | None
    outcome: Fate
    detail: str = ""


class Settlement(Answer):
    """What became of each letter; `more` that match were left for the next time, or could not be looked at."""

    items: Sequence[Settled]
    more: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters to settle: those named, or else the first `limit` that match."""

    ids: tuple[str, ...] = ()
    filter: LetterFilter = EVERY_LETTER
    limit: int = MAX_HELD


@dataclass(frozen=True, slots=True)
class _Found:
    letter: Letter
    delivery: Delivery

    def settled(self, outcome: Fate, detail: str = "") -> Settled:
        return Settled(
            id=self.letter.id, event_id=self.letter.event_id, type=self.letter.type, outcome=outcome, detail=detail
        )


Answering = Callable[[Sequence[Settled]], Settlement]


class DeadLetterOffice:
    """One per service and process. Whoever looks holds the letters, so in a process one looks after the other.

    Raises (all verbs): DomainError `broker-unavailable` (503) when the broker cannot be asked.
    """

    def __init__(
        self, service: str, transport: Transport, writer: Writer[Any], *, attempts: Table, discards: Table, ids: Ids
    ) -> None:
        self._service = service
        self._transport = transport
        self._writer = writer
        self._attempts = attempts
        self._discards = discards
        self._ids = ids
        self._turn = asyncio.Lock()

    async def page(self, wanted: LetterFilter, limit: int) -> LetterPage:
        """The first `limit` letters that match, oldest first; they stay where they are."""
        async with self._look() as browse:
            letters = [read_letter(self._service, delivery) for delivery in browse.held]
            total = len(browse.held) + browse.behind
        matching = [letter for letter in letters if wanted.matches(letter)]
        return LetterPage(items=matching[:limit], total=total, more=total > len(letters) or len(matching) > limit)

    async def show(self, id: str) -> OpenedLetter:
        """One letter with its body.

        Raises:
            NotFoundError: it is not among the letters that can be looked at.
        """
        async with self._look() as browse:
            for delivery in browse.held:
                if letter_id(delivery) == id:
                    return open_letter(self._service, delivery)
        raise NotFoundError("dead letter")

    async def redrive(self, selection: Selection, by: UUID, *, dry_run: bool = False) -> Settlement:
        """Give letters a new life: back to the inbox with their event's id and all attempts, then out of the queue."""
        async with self._look() as browse:
            chosen, answer = self._choose(browse, selection)
            if dry_run:
                return answer([found.settled(Fate.WOULD_REDRIVE) for found in chosen])
            await self._forget_attempts(chosen)
            settled: list[Settled] = []
            for start in range(0, len(chosen), WINDOW):
                settled += await self._redrive(browse, chosen[start : start + WINDOW], by)
        return answer(settled)

    async def discard(self, selection: Selection, by: UUID, reason: str, *, dry_run: bool = False) -> Settlement:
        """Throw letters away: written down first, then out of the queue."""
        async with self._look() as browse:
            chosen, answer = self._choose(browse, selection)
            if dry_run:
                return answer([found.settled(Fate.WOULD_DISCARD) for found in chosen])
            await self._write_down(chosen, by, reason)
            detail = await _remove(browse, chosen)
        return answer([found.settled(Fate.DISCARDED, detail) for found in chosen])

    @asynccontextmanager
    async def _look(self) -> AsyncIterator[Browse]:
        """Always as far as one may: a shorter look would put what it held behind what an earlier one had held."""
        async with self._turn:
            try:
                look = self._transport.browse(dead_queue(self._service), limit=MAX_HELD, max_bytes=MAX_HELD_BYTES)
                async with look as browse:
                    yield browse
            except BrokerUnavailableError as error:
                raise DomainError("broker-unavailable", ErrorKind.UNAVAILABLE, str(error), retry_after=5) from error

    def _choose(self, browse: Browse, selection: Selection) -> tuple[Sequence[_Found], Answering]:
        """The letters meant, and how to answer once it is known what became of them."""
        found = [_Found(read_letter(self._service, delivery), delivery) for delivery in browse.held]
        if selection.ids:
            named = [each for each in found if each.letter.id in selection.ids]
            return named, partial(_answer_by_name, selection.ids, looked_at=len(found), behind=browse.behind > 0)
        matching = [each for each in found if selection.filter.matches(each.letter)]
        more = browse.behind > 0 or len(matching) > selection.limit
        return matching[: selection.limit], lambda settled: Settlement(items=settled, more=more)

    async def _redrive(self, browse: Browse, window: Sequence[_Found], by: UUID) -> list[Settled]:
        messages = [
            redriven_message(self._service, each.delivery, each.delivery.message_id or str(self._ids.new()))
            for each in window
        ]
        results = await self._transport.publish(messages)
        sent = [each for each, result in zip(window, results, strict=True) if result.outcome is Outcome.ACK]
        detail = await _remove(browse, sent)
        for each in sent:
            log.info(
                "dead_letters.redriven",
                letter=each.letter.id,
                event_id=each.letter.event_id,
                correlation_id=each.letter.order_id,
                type=each.letter.type,
                by=by,
            )
        return [
            each.settled(Fate.REDRIVEN, detail) if result.outcome is Outcome.ACK else _not_sent(each, result)
            for each, result in zip(window, results, strict=True)
        ]

    async def _forget_attempts(self, chosen: Sequence[_Found]) -> None:
        """An event that killed the process is not held to what it did before the cause was mended."""
        events = {each.letter.event_id for each in chosen if each.letter.event_id is not None}
        table = self._attempts

        async def forget(_: None, uow: UnitOfWork) -> None:
            await uow.execute(table.delete().where(table.c.event_id.in_(events)))

        if events:
            await self._writer.execute(forget, None)

    async def _write_down(self, chosen: Sequence[_Found], by: UUID, reason: str) -> None:
        letters = [each.letter for each in chosen]
        discards = [Discard(letter.id, letter.event_id, letter.type, reason, by) for letter in letters]

        async def write(_: None, uow: UnitOfWork) -> None:
            await record(uow.connection, self._discards, discards, uow.now)

        if not discards:
            return
        await self._writer.execute(write, None)
        for letter in letters:
            log.warning(
                "dead_letters.discarded",
                letter=letter.id,
                event_id=letter.event_id,
                correlation_id=letter.order_id,
                type=letter.type,
                by=by,
                reason=reason,
            )


async def _remove(browse: Browse, found: Sequence[_Found]) -> str:
    """Take letters out; what to tell of them if that is not certain."""
    try:
        await browse.remove([each.delivery for each in found])
    except BrokerUnavailableError:
        return STILL_THERE
    return ""


def _not_sent(found: _Found, result: PublishResult) -> Settled:
    refused = result.outcome in {Outcome.NACKED, Outcome.RETURNED}
    return found.settled(Fate.REFUSED if refused else Fate.UNCERTAIN, result.reason)


def _answer_by_name(ids: Sequence[str], settled: Sequence[Settled], *, looked_at: int, behind: bool) -> Settlement:
    """The letters settled, then the named ones that are not there."""
    known = {each.id for each in settled}
    detail = f"It is not among the first {looked_at} letters; there are more." if behind else ""
    missing = [
        Settled(id=id, event_id=None, type=None, outcome=Fate.NOT_FOUND, detail=detail)
        for id in dict.fromkeys(ids)
        if id not in known
    ]
    return Settlement(items=[*settled, *missing], more=behind and bool(missing))
