"""RabbitMQ's rules without RabbitMQ: routing, settlement, delivery limits, dead letters, delays, and faults on request.

Everything happens inside the call that causes it: there is no random choice and no thread. Delays follow the injected
clock; with a manual one the owner calls `release_due`.
"""

import asyncio
import random
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol

from chassis.clock import Clock, SystemClock
from chassis.topology import Arguments, Topology, shop_topology
from chassis.transport.base import Outcome, OutgoingMessage, PublishResult
from chassis.transport.routing import Router

UNLIMITED = -1


class Holder(Protocol):
    """Whoever takes messages from a queue."""

    service: str
    queue: str
    prefetch: int


class Consumer(Holder, Protocol):
    """Who takes them for good, as long as it lives."""

    @property
    def live(self) -> bool:
        """Whether it receives."""


@dataclass(slots=True)
class StoredMessage:
    """A message in a queue. `sequence` is its place; it keeps it when it is given back."""

    outgoing: OutgoingMessage
    sequence: int
    deliveries: int = 0
    expires: datetime | None = None
    deaths: tuple[Mapping[str, object], ...] = ()

    def headers(self) -> dict[str, object]:
        """The publisher's headers and what the broker adds to them."""
        headers: dict[str, object] = dict(self.outgoing.headers)
        if self.deliveries:
            headers["x-delivery-count"] = self.deliveries
        if self.deaths:
            first = self.deaths[-1]
            headers["x-death"] = [dict(death) for death in self.deaths]
            headers |= {f"x-first-death-{key}": first[key] for key in ("queue", "reason", "exchange")}
        return headers


@dataclass(slots=True)
class _Queue:
    name: str
    arguments: Arguments
    ready: list[StoredMessage] = field(default_factory=list)
    handed_out: "dict[Unsettled, StoredMessage]" = field(default_factory=dict)

    @property
    def delivery_limit(self) -> int:
        return int(self.arguments.get("x-delivery-limit", UNLIMITED))


@dataclass(frozen=True, slots=True, eq=False)
class Unsettled:
    """The receipt for a message handed out."""

    queue: str
    holder: Holder


@dataclass(slots=True)
class Faults:
    """What should go wrong with the next publishes. A count is used up by one publish each."""

    lose_confirms: int = 0
    duplicates: int = 0
    refuse: Callable[[OutgoingMessage], str | None] = lambda _: None
    """The reason to refuse a message for, None to take it."""


class MemoryBroker:
    """One broker node. Share it among the transports of one world.

    `keep_journal`: whether `journal` gets every event there ever was, for a test to read; a process that is to run for
    long has no room for that.
    """

    def __init__(
        self, topology: Topology | None = None, *, clock: Clock | None = None, keep_journal: bool = True
    ) -> None:
        topology = topology or shop_topology()
        self.faults = Faults()
        self.journal: list[OutgoingMessage] = []
        self.blocked_since: datetime | None = None
        self._clock = clock or SystemClock()
        self._keep_journal = keep_journal
        self._router = Router(topology)
        self._queues = {queue.name: _Queue(queue.name, queue.arguments) for queue in topology.queues}
        self._unreachable: set[str] = set()
        self._all_unreachable = False
        self._stuck: list[OutgoingMessage] = []
        self._disconnections: Counter[str | None] = Counter()
        self._sequence = count(1)
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers = 0
        self._consumers: weakref.WeakSet[Consumer] = weakref.WeakSet()

    # What a test or an operator looks at.

    def rewire(self, topology: Topology) -> None:
        """Route by these bindings from now on; queues and what is in them stay."""
        self._router = Router(topology)

    def has_queue(self, queue: str) -> bool:
        return queue in self._queues

    def ready(self, queue: str) -> list[StoredMessage]:
        """Messages waiting in the queue, in order."""
        return list(self._queues[queue].ready)

    def know_consumer(self, consumer: Consumer) -> None:
        """Count it while it lives."""
        self._consumers.add(consumer)

    def consumers(self, queue: str) -> int:
        """How many receive from the queue."""
        return sum(consumer.queue == queue and consumer.live for consumer in self._consumers)

    def unsettled(self, queue: str) -> list[StoredMessage]:
        """Messages handed out and not settled yet."""
        return list(self._queues[queue].handed_out.values())

    def idle(self) -> bool:
        """Whether no queue that dead-letters (an inbox or a retry tier) holds a message."""
        working = (queue for queue in self._queues.values() if "x-dead-letter-exchange" in queue.arguments)
        return not self._stuck and not any(queue.ready or queue.handed_out for queue in working)

    # Time.

    def next_due(self) -> datetime | None:
        """When the next delayed message comes due, None if none is waiting."""
        return min((m.expires for queue in self._queues.values() for m in queue.ready if m.expires), default=None)

    def release_due(self) -> int:
        """Send on every message whose delay is over by the clock; how many there were."""
        now = self._clock.now()
        released = 0
        for queue in self._queues.values():
            for message in [m for m in queue.ready if m.expires and m.expires <= now]:
                queue.ready.remove(message)
                self._dead_letter(queue, message, "expired")
                released += 1
        return released

    def watch_clock(self) -> None:
        """Release due messages by a timer of the running loop, if the clock is the machine's."""
        if isinstance(self._clock, SystemClock):
            self._watchers += 1
            self._loop = asyncio.get_running_loop()
            self._set_timer()

    def unwatch_clock(self) -> None:
        """The last one to leave ends the timer."""
        self._watchers = max(0, self._watchers - 1)
        if not self._watchers:
            self._loop = None
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is None or self._loop.is_closed() or (due := self.next_due()) is None:
            return
        wait = max(0.0, (due - self._clock.now()).total_seconds())
        self._timer = self._loop.call_later(wait, self._timer_fired)

    def _timer_fired(self) -> None:
        self.release_due()
        self._set_timer()

    # Faults.

    def disconnect(self, service: str | None = None) -> None:
        """Cut a service (or all of them) off until `reconnect`; what it held comes back to its queues, counted."""
        if service is None:
            self._all_unreachable = True
        else:
            self._unreachable.add(service)
        self._lose_sessions(service)

    def reconnect(self, service: str | None = None) -> None:
        """Let a service (or all of them) in again."""
        if service is None:
            self._all_unreachable = False
            self._unreachable.clear()
        else:
            self._unreachable.discard(service)
        self.changed()

    def drop_sessions(self, service: str | None = None) -> None:
        """A short loss of the connection: what was held comes back to its queue, counted."""
        self.disconnect(service)
        self.reconnect(service)

    def block(self) -> None:
        """A memory alarm: publishes get no answer now and arrive after `unblock`; consuming goes on."""
        self.blocked_since = self._clock.now()

    def unblock(self) -> None:
        self.blocked_since = None
        stuck, self._stuck = self._stuck, []
        for message in stuck:
            self._store(message)

    def shuffle(self, queue: str, rng: random.Random) -> None:
        """Reorder what waits in a queue, and let it keep the new order."""
        ready = self._queues[queue].ready
        places = [message.sequence for message in ready]
        rng.shuffle(ready)
        for message, place in zip(ready, places, strict=True):
            message.sequence = place

    def reachable_by(self, service: str) -> bool:
        return not self._all_unreachable and service not in self._unreachable

    def disconnections(self, service: str) -> int:
        """How often the service was cut off, alone or with all others."""
        return self._disconnections[service] + self._disconnections[None]

    # Publishing.

    def publish(self, message: OutgoingMessage) -> PublishResult:
        """Take a message as the broker would, mandatory and with a confirm."""
        if self.blocked_since is not None:
            self._stuck.append(message)
            return PublishResult(Outcome.UNKNOWN, "blocked by the broker")
        if reason := self.faults.refuse(message) or self._router.missing(message.exchange):
            return PublishResult(Outcome.NACKED, reason)
        if not self._store(message):
            return PublishResult(Outcome.RETURNED, "NO_ROUTE")
        if self.faults.duplicates:
            self.faults.duplicates -= 1
            self._store(message)
        if self.faults.lose_confirms:
            self.faults.lose_confirms -= 1
            return PublishResult(Outcome.UNKNOWN, "the confirm was lost")
        return PublishResult(Outcome.ACK)

    def _store(self, message: OutgoingMessage, deaths: tuple[Mapping[str, object], ...] = ()) -> bool:
        """Put a message into every queue it routes to; False if there is none."""
        names = self._router.route(message.exchange, message.routing_key)
        for name in names:
            self._put(self._queues[name], message, deaths)
        self.changed()
        return bool(names)

    def _put(self, queue: _Queue, message: OutgoingMessage, deaths: tuple[Mapping[str, object], ...]) -> None:
        if queue.arguments.get("x-queue-type") == "stream":
            if self._keep_journal:
                self.journal.append(message)
            return
        ttl = queue.arguments.get("x-message-ttl")
        expires = None if ttl is None else self._clock.now() + timedelta(milliseconds=int(ttl))
        queue.ready.append(StoredMessage(message, next(self._sequence), expires=expires, deaths=deaths))
        if expires is not None:
            self._set_timer()

    # Consuming.

    def changed(self) -> None:
        """Wake everyone who waits for something to receive."""
        self._changed.set()
        self._changed = asyncio.Event()

    def change_event(self) -> asyncio.Event:
        """Set by the next change. Ask for it before looking, then nothing is missed."""
        return self._changed

    def held_by(self, holder: Holder) -> int:
        return sum(handle.holder is holder for handle in self._queues[holder.queue].handed_out)

    def take(self, holder: Holder, limit: int) -> list[tuple[StoredMessage, Unsettled]]:
        """Hand out up to `limit` messages, oldest place first."""
        queue = self._queues[holder.queue]
        taken, queue.ready = queue.ready[: max(0, limit)], queue.ready[max(0, limit) :]
        receipts = [(message, Unsettled(queue.name, holder)) for message in taken]
        queue.handed_out |= {handle: message for message, handle in receipts}
        return receipts

    def settle(self, handle: object) -> None:
        """Forget a message that was handed out; of a receipt that no longer counts: nothing."""
        if isinstance(handle, Unsettled) and self._queues[handle.queue].handed_out.pop(handle, None) is not None:
            self.changed()

    def give_back(self, handles: Sequence[object]) -> None:
        """Put messages back at their places, one delivery older; past the queue's limit they are dead letters."""
        for handle in handles:
            if isinstance(handle, Unsettled):
                queue = self._queues[handle.queue]
                if (message := queue.handed_out.pop(handle, None)) is not None:
                    self._return_to(queue, message)
        self.changed()

    def give_back_all(self, holder: Holder) -> None:
        """The session of one consumer ended."""
        if self.has_queue(holder.queue):
            self.give_back([handle for handle in self._queues[holder.queue].handed_out if handle.holder is holder])

    def _return_to(self, queue: _Queue, message: StoredMessage) -> None:
        message.deliveries += 1
        if 0 <= queue.delivery_limit < message.deliveries:
            self._dead_letter(queue, message, "delivery_limit")
            return
        queue.ready.append(message)
        queue.ready.sort(key=lambda stored: stored.sequence)

    def _lose_sessions(self, service: str | None) -> None:
        self._disconnections[service] += 1
        for holder in self._holders(service):
            self._count_prefetched(holder)
            self.give_back_all(holder)

    def _holders(self, service: str | None) -> list[Holder]:
        """Each consumer that holds something, once, in the order of what it holds."""
        handles = (handle for queue in self._queues.values() for handle in queue.handed_out)
        return list(dict.fromkeys(h.holder for h in handles if service in (None, h.holder.service)))

    def _count_prefetched(self, holder: Holder) -> None:
        """RabbitMQ had sent ahead what the prefetch allowed: those count as delivered too."""
        queue = self._queues[holder.queue]
        ahead = queue.ready[: max(0, holder.prefetch - self.held_by(holder))]
        queue.ready = queue.ready[len(ahead) :]
        for message in ahead:
            self._return_to(queue, message)

    # Dead letters.

    def _dead_letter(self, queue: _Queue, message: StoredMessage, reason: str) -> None:
        """On to where the queue sends its dead; gone, as at RabbitMQ, if that is nowhere."""
        exchange = queue.arguments.get("x-dead-letter-exchange")
        if exchange is None:
            return
        routing_key = str(queue.arguments.get("x-dead-letter-routing-key", message.outgoing.routing_key))
        onwards = replace(message.outgoing, exchange=str(exchange), routing_key=routing_key)
        self._store(onwards, _died(queue.name, message, reason, self._clock.now()))


def _died(queue: str, message: StoredMessage, reason: str, now: datetime) -> tuple[Mapping[str, object], ...]:
    """The `x-death` list with this death first; repeated ones of the same kind are counted, not listed again."""
    same = [death for death in message.deaths if (death["queue"], death["reason"]) == (queue, reason)]
    others = tuple(death for death in message.deaths if death not in same)
    times = 1 + sum(int(str(death["count"])) for death in same)
    outgoing = message.outgoing
    latest = {
        "queue": queue,
        "reason": reason,
        "count": times,
        "time": now,
        "exchange": outgoing.exchange,
        "routing-keys": [outgoing.routing_key],
    }
    return (latest, *others)
