"""One real service in this process: its own store, the broker in memory, an HTTP client, tokens of a key it knows.

The rest of the shop is played by the test: it sends events in and looks at those that come out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from chassis.clock import Clock, SystemClock
from chassis.db import Store
from chassis.ids import Ids, Uuid7
from chassis.migrate import migrate
from chassis.runtime import Environment, Runtime
from chassis.settings import ServiceSettings
from chassis.topology import EVENTS, dead_queue, inbox_queue
from chassis.transport import OutgoingMessage
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.envelope import Envelope, Event, decode, encode
from contracts.registry import typed
from tests.support.tokens import TokenMint
from tests.support.waiting import wait_until

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


@dataclass
class Harness:
    """A running service and what a test does with it."""

    name: str
    app: FastAPI
    broker: MemoryBroker
    clock: Clock
    mint: TokenMint
    http: httpx.AsyncClient
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def runtime(self) -> Runtime[Any]:
        runtime: Runtime[Any] = self.app.state.runtime
        return runtime

    async def send(self, event: Event, *, id: UUID | None = None, settle: bool = True) -> UUID:
        """Publish an event of another service, as its relay would, and wait until it has had its effect."""
        version = self.versions[event.subject] = self.versions.get(event.subject, 0) + 1
        envelope = Envelope(
            id=id or uuid4(),
            source="/test",
            type=event.wire_name,
            subject=event.subject,
            time=self.clock.now(),
            correlationid=event.conversation or uuid4(),
            aggregateversion=version,
            data=event.model_dump(mode="json"),
        )
        self.publish(envelope)
        if settle:
            await self.settled()
        return envelope.id

    def publish(self, envelope: Envelope) -> None:
        """Put an envelope on the bus as it is."""
        self.broker.publish(
            OutgoingMessage(EVENTS, envelope.type, encode(envelope), str(envelope.id), type=envelope.type)
        )

    async def settled(self) -> None:
        """Wait until nothing is left to consume or to publish."""

        async def quiet() -> bool:
            inbox = inbox_queue(self.name)
            if self.broker.ready(inbox) or self.broker.unsettled(inbox):
                return False
            return (await self.runtime.relay.status()).pending == 0

        await wait_until(quiet, message=f"{self.name} did not come to rest")

    def outgoing(self) -> list[Event]:
        """The events this service has published, oldest first."""
        return [typed(envelope) for envelope in self.envelopes() if envelope.source == f"/{self.name}"]

    def envelopes(self) -> list[Envelope]:
        """Everything that was ever on the bus."""
        return [decode(message.body) for message in self.broker.journal]

    def dead_letters(self) -> Sequence[dict[str, object]]:
        """The headers of this service's dead letters."""
        return [letter.headers() for letter in self.broker.ready(dead_queue(self.name))]

    def as_user(self, user_id: UUID | None = None) -> dict[str, str]:
        return self.mint.headers(user_id)

    def as_operator(self) -> dict[str, str]:
        return self.mint.headers(roles=("operator",))


@asynccontextmanager
async def running(
    package: str,
    build: Callable[[SettingsT, Environment], FastAPI],
    settings: SettingsT,
    *,
    clock: Clock | None = None,
    broker: MemoryBroker | None = None,
    mint: TokenMint | None = None,
    ids: Ids | None = None,
) -> AsyncIterator[Harness]:
    """Migrate the settings' store, start the service on it, stop it at the end."""
    clock = clock or SystemClock()
    broker = broker or MemoryBroker(clock=clock)
    mint = mint or TokenMint()
    await asyncio.to_thread(migrate, package, settings.database_url)
    name = settings.service
    environment = Environment(
        store=Store(settings.database_url),
        transport=MemoryTransport(broker, name),
        clock=clock,
        ids=ids or Uuid7(clock),
    )
    app = build(settings, environment)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{name}")
        )
        harness = Harness(name, app, broker, clock, mint, http)
        if name != "auth":
            await harness.send(mint.published)
        yield harness
