"""The consumer: deliveries of the inbox queue become jobs of the writer; acknowledged after the commit, never before.

A delivery ends in one of four ways: handled, seen before, sent round a retry tier, or put into the dead queue with its
reason. While the store cannot write, consuming pauses and no attempt is burnt.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

import sqlalchemy as sa
import structlog

from chassis.clock import Clock
from chassis.context import MessageContext
from chassis.failpoints import Failpoints
from chassis.ids import Ids
from chassis.jobs import InboxEvent, StoreUnavailableError
from chassis.observer import Observer
from chassis.retry import (
    KilledProcessError,
    RetryPolicy,
    UnhandledEventError,
    dead_message,
    describe,
    next_tier,
    retry_message,
)
from chassis.topology import inbox_queue
from chassis.tracing import Span, Tracer
from chassis.transport import Delivery, Outcome, OutgoingMessage, Subscription, SubscriptionClosedError, Transport
from chassis.unit_of_work import UnitOfWork
from chassis.writer import EventHandler, Writer
from contracts.envelope import Envelope, Event, decode
from contracts.registry import EVENT_TYPES, typed

log = structlog.get_logger()

Subscriptions = Mapping[type[Event], EventHandler[Any]]

BATCH: Final = 50
PREFETCH: Final = 100
OVERLAPPING_BATCHES: Final = 4
SUSPICIOUS_DELIVERIES: Final = 3
MAX_KILLS: Final = 3
UNKNOWN_TYPE: Final = "unknown"
"""What metrics call every type that is none of ours: whatever a stranger writes there would stay a label for ever."""
STORE_BACKOFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class _Failed:
    delivery: Delivery
    error: Exception
    event_type: str


class Consumer:
    """Works one service's inbox. `settle` is a step of its own, so that tests and simulations can drive it."""

    def __init__(
        self,
        *,
        service: str,
        subscriptions: Subscriptions,
        writer: Writer[Any],
        transport: Transport,
        attempts: sa.Table,
        clock: Clock,
        ids: Ids,
        observer: Observer,
        failpoints: Failpoints,
        policy: RetryPolicy,
        tracer: Tracer,
    ) -> None:
        self._service = service
        self._subscriptions = subscriptions
        self._writer = writer
        self._transport = transport
        self._attempts = attempts
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._failpoints = failpoints
        self._policy = policy
        self._tracer = tracer
        self._inbox = inbox_queue(service)
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._alone = asyncio.Lock()

    @property
    def live(self) -> bool:
        """Whether the broker has our consumer and the task that works for it runs."""
        running = self._task is not None and not self._task.done()
        return running and self._subscription is not None and self._subscription.live

    async def start(self) -> None:
        self._stopping.clear()
        self._subscription = self._transport.subscribe(inbox_queue(self._service), prefetch=PREFETCH)
        self._task = asyncio.create_task(self._run(self._subscription), name="consumer")

    async def stop(self) -> None:
        """Take no more, finish and acknowledge what was taken."""
        if self._task is None or self._subscription is None:
            return
        self._stopping.set()
        await self._subscription.stop()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def settle(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        """Handle a batch in as few transactions as can be, then acknowledge, retry or bury each delivery."""
        waiting = list(deliveries)
        for pause in chain(STORE_BACKOFF, repeat(STORE_BACKOFF[-1])):
            waiting = await self._settle_what_can_be(subscription, waiting)
            if not waiting:
                break
            if await self._stopped_within(pause):
                await subscription.requeue(waiting)
                break
        self._failpoints.hit("consumer.after_ack")

    async def _settle_what_can_be(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Settle all that the store lets us; what it does not, comes back to be held until it does.

        Held and not given back: each return counts as a delivery, and twenty of them make a dead letter.
        """
        outcomes = await self._handle_all(deliveries)
        done = [delivery for delivery, outcome in zip(deliveries, outcomes, strict=True) if outcome is None]
        failures = [outcome for outcome in outcomes if outcome is not None]
        waiting = [failure.delivery for failure in failures if isinstance(failure.error, StoreUnavailableError)]
        others = [failure for failure in failures if not isinstance(failure.error, StoreUnavailableError)]
        await self._settle_failed(subscription, others)
        self._failpoints.hit("consumer.before_ack")
        await subscription.ack(done)
        return waiting

    async def _run(self, subscription: Subscription) -> None:
        """Batches overlap: what arrives while one is being committed joins the writer's next transaction."""
        free = asyncio.Semaphore(OVERLAPPING_BATCHES)
        async with asyncio.TaskGroup() as batches:
            while True:
                await free.acquire()
                try:
                    deliveries = await subscription.receive(BATCH)
                except SubscriptionClosedError:
                    return
                task = batches.create_task(self._settle_or_requeue(subscription, deliveries))
                task.add_done_callback(lambda _: free.release())

    async def _settle_or_requeue(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        try:
            await self.settle(subscription, deliveries)
        except Exception:
            log.exception("consumer.settle_failed", deliveries=len(deliveries))
            await subscription.requeue(deliveries)

    async def _handle_all(self, deliveries: Sequence[Delivery]) -> list[_Failed | None]:
        """Together, as the writer commits them; but after them, one at a time, those that came back suspiciously often.

        The process that dies then leaves a mark on the one event it was handling, and none on its neighbours.
        """
        suspicious = [d for d in deliveries if d.delivery_count >= SUSPICIOUS_DELIVERIES]
        others = [d for d in deliveries if d.delivery_count < SUSPICIOUS_DELIVERIES]
        outcomes = dict(zip(map(id, others), await asyncio.gather(*map(self._handle, others)), strict=True))
        for delivery in suspicious:
            async with self._alone:
                outcomes[id(delivery)] = await self._handle(delivery)
        return [outcomes[id(delivery)] for delivery in deliveries]

    async def _handle(self, delivery: Delivery) -> _Failed | None:
        """Run the delivery's handler, once ever for its event id; None when there is nothing left to do."""
        with self._tracer.delivery(self._inbox, delivery) as span:
            failed = await self._handle_within(span, delivery)
            if failed is not None:
                span.failed(failed.error)
                span.settled(self._fate(failed))
            return failed

    async def _handle_within(self, span: Span, delivery: Delivery) -> _Failed | None:
        event_type = delivery.type if delivery.type and delivery.type in EVENT_TYPES else UNKNOWN_TYPE
        try:
            envelope = decode(delivery.body)
            event = typed(envelope)
            event_type = envelope.type
            handler = self._subscriptions.get(type(event))
            if handler is None:
                raise UnhandledEventError(f"{self._service} has no handler for {envelope.type}")
            suspicious = delivery.delivery_count >= SUSPICIOUS_DELIVERIES
            if suspicious:
                await self._count_attempt(envelope)
            self._failpoints.hit("consumer.before_handle")
            context = MessageContext(envelope.correlationid, envelope.id, span.carry(envelope.traceparent))
            try:
                fresh = await self._writer.handle(InboxEvent(envelope.id, event), handler, context)
            except Exception:
                await self._forget_attempts(envelope, suspicious)
                raise
            await self._forget_attempts(envelope, suspicious)
        except Exception as error:
            return _Failed(delivery, error, event_type)
        result = "handled" if fresh else "duplicate"
        span.settled(result)
        self._observer.consumed(event_type, result)
        log.debug(
            "consumer.done",
            event_id=envelope.id,
            correlation_id=envelope.correlationid,
            causation_id=envelope.causationid,
            type=event_type,
            result=result,
        )
        if fresh:
            self._observer.hop(event_type, self._clock.now() - envelope.time)
        return None

    def _fate(self, failed: _Failed) -> str:
        if isinstance(failed.error, StoreUnavailableError):
            return "held"
        return "retried" if next_tier(self._policy, failed.delivery, failed.error) else "dead"

    async def _count_attempt(self, envelope: Envelope) -> None:
        """Remember, before trying, that an event which was handed out several times is tried once more.

        The broker's own count cannot tell the message that kills the process from its innocent neighbours.
        """
        table = self._attempts

        async def count(uow: UnitOfWork) -> int:
            rows = await uow.fetch(sa.select(table.c.attempts).where(table.c.event_id == envelope.id))
            attempts = rows[0]["attempts"] + 1 if rows else 1
            if rows:
                await uow.execute(table.update().where(table.c.event_id == envelope.id).values(attempts=attempts))
            else:
                uow.append(table, {"event_id": envelope.id, "attempts": attempts})
            return attempts

        if await self._writer.run_now(count) > MAX_KILLS:
            raise KilledProcessError(f"given up after the process died {MAX_KILLS} times while handling it")

    async def _forget_attempts(self, envelope: Envelope, counted: bool) -> None:
        """We live: it was not this one. Unacknowledged it comes again whenever a neighbour kills the process."""
        table = self._attempts

        async def forget(uow: UnitOfWork) -> None:
            await uow.execute(table.delete().where(table.c.event_id == envelope.id))

        if counted:
            await self._writer.run_now(forget)

    async def _settle_failed(self, subscription: Subscription, failed: Sequence[_Failed]) -> None:
        """Send failed deliveries on their way, and only then acknowledge them.

        While the broker takes nothing (an alarm), this waits and so pauses consuming: giving a delivery back at once
        would come round in a hot loop and run into the delivery limit.
        """
        pending = [(failure, self._way_on(failure)) for failure in failed]
        while pending:
            self._failpoints.hit("consumer.before_retry")
            results = await self._transport.publish([message for _, message in pending])
            self._failpoints.hit("consumer.after_retry")
            answered = list(zip(pending, results, strict=True))
            await subscription.ack([f.delivery for (f, _), result in answered if result.outcome is Outcome.ACK])
            pending = [item for item, result in answered if result.outcome is not Outcome.ACK]
            if pending and await self._stopped_within(1.0):
                return await subscription.requeue([failure.delivery for failure, _ in pending])

    def _way_on(self, failure: _Failed) -> OutgoingMessage:
        delivery, error = failure.delivery, failure.error
        message_id = delivery.message_id or str(self._ids.new())
        tier = next_tier(self._policy, delivery, error)
        log.warning(
            "consumer.failed",
            event_id=message_id,
            correlation_id=delivery.correlation_id,
            type=delivery.type or failure.event_type,
            error_type=type(error).__name__,
            error=describe(error),
            goes_to=tier.exchange if tier else "dead",
        )
        now = self._clock.now()
        if tier is None:
            self._observer.consumed(failure.event_type, "dead")
            return dead_message(self._service, delivery, error, now, message_id)
        self._observer.consumed(failure.event_type, "retried")
        self._observer.retried(tier.exchange)
        return retry_message(self._service, delivery, error, tier, now, message_id)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
