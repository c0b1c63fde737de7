"""One service at work: writer, relay, consumer and sweeps on one store and one transport, in the right order."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from chassis.clock import Clock, SystemClock
from chassis.consumer import Consumer, Subscriptions
from chassis.db import Store
from chassis.dead_letters import DeadLetterOffice
from chassis.failpoints import Failpoints
from chassis.hints import Hints, hints
from chassis.housekeeping import Retention, housekeeping
from chassis.ids import Ids, Uuid7
from chassis.leadership import Leadership, leadership
from chassis.observer import Figure, Observer
from chassis.parked import ParkedEvents
from chassis.projections import Projection
from chassis.relay import Relay
from chassis.resend import SentEvents
from chassis.retry import RetryPolicy
from chassis.sweeps import Sweep, Sweeper
from chassis.tracing import Tracer
from chassis.transport import Transport
from chassis.unit_of_work import RuntimeTables, Transaction, UnitOfWork
from chassis.writer import Writer

log = structlog.get_logger()

PROBE_EVERY = timedelta(seconds=2)

UowT = TypeVar("UowT", bound=UnitOfWork)


@dataclass(frozen=True, slots=True)
class ServiceDefinition(Generic[UowT]):
    """What a service is, apart from where it runs. `name` is `order`, not `order_svc`."""

    name: str
    tables: RuntimeTables
    uow: Callable[[Transaction], UowT]
    subscriptions: Subscriptions = field(default_factory=dict)
    projections: tuple[Projection, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a service runs: the ports a test or a simulation puts its own things behind."""

    store: Store
    transport: Transport
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=lambda: Uuid7(SystemClock()))
    observer: Observer = field(default_factory=Observer)
    tracer: Tracer = field(default_factory=Tracer)
    failpoints: Failpoints = field(default_factory=lambda: Failpoints("none"))
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retention: Retention = field(default_factory=Retention)
    leadership: Callable[[Store, str], Leadership] = leadership
    hints: Callable[[Store, str], Hints] = hints
    rng: random.Random = field(default_factory=random.SystemRandom)
    broker_page: str | None = None
    """The address of the broker's own page, for operators."""

    forgetful_broker: bool = False
    """The broker loses everything with the process (the memory transport outside of tests): offer the outbox again."""


class Runtime(Generic[UowT]):
    """A service's moving parts. `writer` takes changes, `reader` answers questions, and operators have `dead_letters`,
    `parked` and `sent`. The rest runs by itself."""

    def __init__(self, definition: ServiceDefinition[UowT], environment: Environment) -> None:
        env = environment
        self.name = definition.name
        self.definition = definition
        self.store = env.store
        self.reader = env.store.reader
        self.transport = env.transport
        self.clock = env.clock
        self.ids = env.ids
        self.observer = env.observer
        self.tracer = env.tracer
        self.failpoints = env.failpoints
        self.retention = env.retention
        self.broker_page = env.broker_page
        self.hints = env.hints(env.store, definition.name)
        self.writer: Writer[UowT] = Writer(
            env.store,
            definition.tables,
            definition.uow,
            source=f"/{definition.name}",
            clock=env.clock,
            ids=env.ids,
            failpoints=env.failpoints,
            observer=env.observer,
        )
        self.relay = Relay(
            service=definition.name,
            store=env.store,
            outbox=definition.tables.outbox,
            writer=self.writer,
            transport=env.transport,
            leadership=env.leadership(env.store, f"{definition.name}.relay"),
            hints=self.hints,
            rng=env.rng,
            clock=env.clock,
            observer=env.observer,
            failpoints=env.failpoints,
            tracer=env.tracer,
        )
        self.writer.on_emitted = self.relay.wake
        self.consumer = Consumer(
            service=definition.name,
            subscriptions=definition.subscriptions,
            writer=self.writer,
            transport=env.transport,
            attempts=definition.tables.attempts,
            clock=env.clock,
            ids=env.ids,
            observer=env.observer,
            failpoints=env.failpoints,
            policy=env.retry,
            tracer=env.tracer,
        )
        self.dead_letters = DeadLetterOffice(
            definition.name,
            env.transport,
            self.writer,
            attempts=definition.tables.attempts,
            discards=definition.tables.discards,
            ids=env.ids,
        )
        self.parked = ParkedEvents(definition.tables.outbox, self.reader, self.writer, self.relay.wake)
        self.sent = SentEvents(definition.tables.outbox, self.writer, self.relay.wake)
        self.sweeper = Sweeper(env.observer, env.failpoints)
        self.sweeper.add(Sweep("probe_store", PROBE_EVERY, self.writer.probe))
        for sweep in housekeeping(definition.tables, self.writer, env.clock, env.retention):
            self.sweeper.add(sweep)
        self._forgetful_broker = env.forgetful_broker
        self._on_start: list[Callable[[], Awaitable[None]]] = []
        self._started = False
        self.figures: list[Figure] = []
        """What the service tells of itself beside what the runtime does, for its metrics."""

    def on_start(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run `action` at start, when the writer and reader work and before anything is consumed."""
        self._on_start.append(action)

    def add_sweep(self, sweep: Sweep) -> None:
        self.sweeper.add(sweep)

    async def start(self) -> None:
        """Begin to work. The broker need not be there; the store must, with its migrations applied."""
        await self.writer.start()
        if self._forgetful_broker:
            await self._offer_outbox_again()
        for action in self._on_start:
            await action()
        await self.hints.start()
        await self.transport.start()
        await self.relay.start()
        await self.consumer.start()
        await self.sweeper.start()
        self._started = True
        log.info("runtime.started", service=self.name)

    async def stop(self) -> None:
        """Stop in the order that loses nothing; HTTP must be drained before."""
        self._started = False
        await self.sweeper.stop()
        await self.consumer.stop()
        await self.relay.stop()
        await self.transport.stop()
        await self.hints.stop()
        await self.writer.stop()
        await self.store.close()
        await self.tracer.close()
        log.info("runtime.stopped", service=self.name)

    def readiness(self) -> Mapping[str, str]:
        """What keeps this service from doing its work, by check; empty when it is ready."""
        failing: dict[str, str] = {}
        if not self._started:
            failing["runtime"] = "starting or stopping"
        if self.writer.trouble:
            failing["store"] = self.writer.trouble
        health = self.transport.health()
        if health.topology_error:
            failing["topology"] = health.topology_error
        elif not health.publisher_connected:
            failing["broker"] = health.last_error or "not connected"
        elif not self.consumer.live:
            failing["consumer"] = "the broker does not have our consumer"
        if health.blocked_since:
            failing["broker_blocked"] = f"the broker refuses publishes since {health.blocked_since.isoformat()}"
        return failing

    async def _offer_outbox_again(self) -> None:
        """Mark every kept event unsent: inboxes drop what was handled, and what was lost on the way arrives."""
        table = self.definition.tables.outbox

        async def unmark(uow: UowT) -> int:
            statement = table.update().where(table.c.published_at.isnot(None)).values(published_at=None)
            return await uow.execute(statement)

        await self.writer.run_now(unmark)
