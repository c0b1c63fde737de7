"""The relay: publishes outbox rows and marks what the broker confirmed. One relay per store leads at a time.

A row is marked only after Basic.Ack, so a crash or a lost answer publishes again; consumers dedupe by event id. At most
one event of an aggregate is in flight, and a refused one holds back its aggregate's later ones only.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from chassis.clock import Clock
from chassis.db import Store, at_most
from chassis.failpoints import Failpoints
from chassis.hints import Hints
from chassis.leadership import Leadership
from chassis.observer import Observer
from chassis.topology import EVENTS
from chassis.tracing import Tracer
from chassis.transport import Outcome, OutgoingMessage, PublishResult, Transport
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer

log = structlog.get_logger()

TOPIC: Final = "outbox"
SELECT_LIMIT: Final = 500
MAX_UNMARKED: Final = 500
"""Sent events without a committed mark; a relay that has more waits for the marks."""
POLL: Final = timedelta(seconds=1)
STUCK_PAUSE: Final = timedelta(seconds=0.25)
"""After a window of which nothing got through. New events wake nobody then: while the broker is away each request would
have the whole window read and offered again, which costs more than the request."""
MARK_AFTER: Final = timedelta(milliseconds=100)
PARK_AFTER: Final = 10
MAX_BACKOFF: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What waits in the outbox; `oldest` is the creation time of the oldest row that is not parked."""

    pending: int
    parked: int
    oldest: datetime | None


class _Window(Enum):
    """What came of looking for events to publish: nothing is due (any more), all that was due got through, some of it
    did, or the broker, as far as we know, took none."""

    EMPTY = auto()
    SENT_ALL = auto()
    SENT = auto()
    STUCK = auto()


class Relay:
    """Moves events from the outbox to the exchange, in windows, whenever it is woken and once a second."""

    def __init__(
        self,
        *,
        service: str,
        store: Store,
        outbox: sa.Table,
        writer: Writer[Any],
        transport: Transport,
        leadership: Leadership,
        hints: Hints,
        rng: random.Random,
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints,
        tracer: Tracer,
    ) -> None:
        self._service = service
        self._reader = store.reader
        self._arrays = store.dialect == "postgresql"
        self._outbox = outbox
        self._writer = writer
        self._transport = transport
        self._leadership = leadership
        self._hints = hints
        hints.on(TOPIC, self._told)
        self._rng = rng
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._tracer = tracer
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._confirmed: set[int] = set()
        self._unmarked: list[dict[str, Any]] = []
        self._marking: asyncio.Task[None] | None = None
        self._marks: set[asyncio.Task[None]] = set()
        self._mark_now = asyncio.Event()
        self._stop = asyncio.Event()
        self._pending = self._pending_statement()
        self._mark = (
            outbox.update()
            .where(outbox.c.id == sa.bindparam("b_id"))
            .values(published_at=sa.bindparam("b_at"), attempts=outbox.c.attempts + 1)
        )

    def wake(self) -> None:
        """There may be something to publish; called after each commit of this process that emitted events."""
        self._wake.set()

    def _told(self, _: str) -> None:
        """Another process has committed events. Who does not lead has nothing to do, and must not tell it again."""
        if self.leads:
            self.wake()

    @property
    def leads(self) -> bool:
        """Whether this process is the one that publishes."""
        return self._leadership.leads

    async def start(self) -> None:
        self._stop.clear()
        self._task = asyncio.create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """Finish the window in flight, then give the lead away."""
        self._stop.set()
        self.wake()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._marked()
        await self._leadership.release()

    async def run_once(self) -> bool:
        """Publish one window of due events and mark what was confirmed; True if it made progress."""
        sent = await self._leadership.hold() and await self._publish_window() in {_Window.SENT, _Window.SENT_ALL}
        await self._marked()
        return sent

    async def status(self) -> OutboxStatus:
        o = self._outbox.c
        unsent = sa.select(
            sa.func.count().filter(o.parked_at.is_(None)).label("pending"),
            sa.func.count().filter(o.parked_at.isnot(None)).label("parked"),
            sa.func.min(o.created_at).filter(o.parked_at.is_(None)).label("oldest"),
        ).where(o.published_at.is_(None))
        row = await self._reader.first(unsent)
        return OutboxStatus(row["pending"], row["parked"], row["oldest"]) if row else OutboxStatus(0, 0, None)

    async def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            woken = self._wake.is_set()
            self._wake.clear()
            window = _Window.EMPTY
            try:
                if await self._leadership.hold():
                    window = await self._publish_window()
                    failures = 0
                elif woken:
                    self._hints.tell(TOPIC, "")
            except Exception:
                failures = min(failures + 1, 5)
                log.exception("relay.failed")
            match window:
                case _Window.SENT:
                    continue
                case _Window.STUCK:
                    await self._pause(self._stop, STUCK_PAUSE)
                case _Window.EMPTY | _Window.SENT_ALL:  # what was committed since we looked has woken us
                    await self._pause(self._wake, POLL * 2**failures)

    async def _pause(self, end: asyncio.Event, most: timedelta) -> None:
        """Until `end`, but not for long; processes that began together do not go on together."""
        try:
            async with asyncio.timeout(most.total_seconds() * self._rng.uniform(0.8, 1.2)):
                await end.wait()
        except TimeoutError:
            return

    async def _publish_window(self) -> _Window:
        """One window of due events, published and confirmed; the marks follow while the next window is on its way."""
        self._begin_marking()  # of what could not be marked before
        if len(self._confirmed) >= MAX_UNMARKED:
            await self._marked()
            if self._unmarked:
                return _Window.STUCK
        # As they are before we look: a mark may be committed while the rows come.
        sent = list(self._confirmed) if self._arrays else json.dumps(list(self._confirmed))
        rows = await self._reader.by_key(self._pending, {"now": self._clock.now(), "sent": sent})
        window = _first_of_each_aggregate(rows)
        if not window:
            return _Window.EMPTY
        self._failpoints.hit("relay.after_select")
        results = await self._tracer.publish([self._message(row) for row in window], self._transport.publish)
        self._failpoints.hit("relay.after_publish")
        settled = await self._settle(window, results)
        whole = len(window) == len(rows) < SELECT_LIMIT and all(result.outcome is Outcome.ACK for result in results)
        return _Window.SENT_ALL if whole else settled

    def _pending_statement(self) -> sa.Select[Any]:
        """What is due, but for what was sent a moment ago, `:sent`: to read a window's rows takes longer than to find
        them, and a relay that looks twenty times before a mark would read each row twenty times."""
        o = self._outbox.c
        if self._arrays:
            unsent = o.id != sa.all_(sa.bindparam("sent", type_=sa.ARRAY(sa.BigInteger)))
        else:
            unsent = o.id.not_in(sa.select(sa.func.json_each(sa.bindparam("sent")).table_valued("value").c.value))
        return (
            sa.select(o.id, o.event_id, o.type, o.aggregate_id, o.correlation_id, o.body, o.created_at, o.attempts)
            .where(o.published_at.is_(None), o.parked_at.is_(None), o.available_at <= sa.bindparam("now"), unsent)
            .order_by(o.id)
            .limit(at_most(SELECT_LIMIT))
        )

    def _message(self, row: RowMapping) -> OutgoingMessage:
        return OutgoingMessage(
            exchange=EVENTS,
            routing_key=row["type"],
            body=row["body"].encode(),
            message_id=str(row["event_id"]),
            type=row["type"],
            app_id=self._service,
            correlation_id=str(row["correlation_id"]),
            timestamp=row["created_at"],
        )

    async def _settle(self, window: Sequence[RowMapping], results: Sequence[PublishResult]) -> _Window:
        """Deal with the broker's answers."""
        now = self._clock.now()
        confirmed: list[int] = []
        for row, result in zip(window, results, strict=True):
            self._observer.published(row["type"], result.outcome.value)
            match result.outcome:
                case Outcome.ACK:
                    confirmed.append(row["id"])
                    log.debug(
                        "relay.published",
                        event_id=row["event_id"],
                        correlation_id=row["correlation_id"],
                        type=row["type"],
                    )
                case Outcome.RETURNED | Outcome.NACKED:
                    await self._writer.run_now(partial(self._put_back, row=row, result=result, now=now))
                case Outcome.UNKNOWN:
                    pass  # the row stays as it is and goes out again: a duplicate some day, never a loss
        self._confirmed.update(confirmed)
        self._unmarked += ({"b_id": id_, "b_at": now} for id_ in confirmed)
        self._begin_marking()
        self._failpoints.hit("relay.after_confirm")
        if confirmed:
            return _Window.SENT
        stuck = any(result.outcome is Outcome.UNKNOWN for result in results)
        return _Window.STUCK if stuck else _Window.EMPTY  # what was refused is put back and not due

    def _begin_marking(self) -> None:
        if self._unmarked and self._marking is None:
            self._marking = asyncio.create_task(self._mark_soon(), name="relay:mark")
            self._marks.add(self._marking)
            self._marking.add_done_callback(self._marks.discard)

    async def _mark_soon(self) -> None:
        """Mark what was confirmed in the last moments, in one transaction: a mark is in no hurry.

        Until it is committed the rows count as sent in memory only. If it fails they are marked later, not sent again:
        a full disk must not become a flood of duplicates.
        """
        try:
            async with asyncio.timeout(MARK_AFTER.total_seconds()):
                await self._mark_now.wait()
        except TimeoutError:
            pass
        rows, self._unmarked, self._marking = self._unmarked, [], None

        async def mark(uow: UnitOfWork) -> None:
            uow.defer(self._mark, rows)

        try:
            self._failpoints.hit("relay.before_mark")
            await self._writer.run_now(mark)
            self._confirmed.difference_update(row["b_id"] for row in rows)
            self._failpoints.hit("relay.after_mark")
        except Exception:
            log.exception("relay.mark_failed", events=len(rows))
            self._unmarked += (row for row in rows if row["b_id"] in self._confirmed)

    async def _marked(self) -> None:
        """Wait until everything confirmed so far is marked."""
        self._mark_now.set()
        try:
            await asyncio.gather(*self._marks)
        finally:
            self._mark_now.clear()

    async def _put_back(self, uow: UnitOfWork, row: RowMapping, result: PublishResult, now: datetime) -> None:
        """Back off, holding back the aggregate's later events with it; park what the broker keeps refusing.

        A returned event is never parked: no binding takes it, and that is mended at the broker, not in this row.
        """
        o = self._outbox
        attempts = row["attempts"] + 1
        values: dict[str, Any] = {"attempts": attempts, "last_error": result.reason[:500]}
        if result.outcome is Outcome.NACKED and attempts >= PARK_AFTER:
            values["parked_at"] = now
            self._observer.parked(row["type"])
        log.warning(
            "relay.refused",
            event_id=str(row["event_id"]),
            correlation_id=row["correlation_id"],
            type=row["type"],
            outcome=result.outcome.value,
            reason=result.reason,
            attempts=attempts,
            parked="parked_at" in values,
        )
        await uow.execute(o.update().where(o.c.id == row["id"]).values(values))
        until = now + min(timedelta(seconds=0.5 * 2**attempts), MAX_BACKOFF)
        await uow.execute(
            o.update()
            .where(o.c.aggregate_id == row["aggregate_id"], o.c.published_at.is_(None), o.c.available_at < until)
            .values(available_at=until)
        )


def _first_of_each_aggregate(rows: Sequence[RowMapping]) -> list[RowMapping]:
    first: dict[str, RowMapping] = {}
    for row in rows:
        first.setdefault(row["aggregate_id"], row)
    return list(first.values())
