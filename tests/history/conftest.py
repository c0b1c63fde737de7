"""order_svc at work on a real broker and a store of each kind; the other services are played by their events."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from chassis.clock import SystemClock
from chassis.db import Store
from chassis.migrate import migrate
from chassis.rebuild.journal import BrokerJournal
from chassis.rebuild.rebuild import Rebuild, Report
from chassis.rebuild.scratch import scratch
from chassis.runtime import Environment, Runtime
from chassis.topology import EVENTS, shop_topology
from chassis.transport import Outcome, OutgoingMessage, Transport
from chassis.transport.amqp import AmqpTransport
from contracts.envelope import Envelope, Event, encode
from order_svc.app import build
from order_svc.settings import OrderSettings
from order_svc.store import RUNTIME
from tests.fixtures.broker import RabbitVhost
from tests.support.messages import connected
from tests.support.tokens import TokenMint
from tests.support.waiting import wait_until


@dataclass
class Orders:
    """The running service, and what others do to it."""

    app: FastAPI
    vhost: RabbitVhost
    url: str
    bus: Transport
    mint: TokenMint = field(default_factory=TokenMint)

    @property
    def runtime(self) -> Runtime[Any]:
        runtime: Runtime[Any] = self.app.state.runtime
        return runtime

    async def hear(self, *events: Event) -> None:
        """Publish events in this order and wait until they have been handled."""
        ids = [await self.tell(event) for event in events]
        table = RUNTIME.inbox

        async def handled() -> bool:
            known = await self.runtime.reader.all(sa.select(table.c.event_id).where(table.c.event_id.in_(ids)))
            return len(known) == len(set(ids))

        await wait_until(handled, timeout=30, message="order_svc did not handle what was sent")

    async def tell(self, event: Event, *, id: UUID | None = None) -> UUID:
        envelope = Envelope(
            id=id or uuid4(),
            source="/test",
            type=event.wire_name,
            subject=event.subject,
            time=SystemClock().now(),
            correlationid=uuid4(),
            aggregateversion=getattr(event, "version", 1),
            data=event.model_dump(mode="json"),
        )
        await self.publish(envelope.type, encode(envelope), str(envelope.id))
        return envelope.id

    async def publish(self, routing_key: str, body: bytes, message_id: str) -> None:
        [result] = await self.bus.publish([OutgoingMessage(EVENTS, routing_key, body, message_id)])
        assert result.outcome is Outcome.ACK, result

    async def compare(self) -> Report:
        """What that command does, in this process."""
        runtime = self.runtime
        journal = BrokerJournal(self.vhost.url("monitoring"))
        async with scratch(runtime.definition) as beside:
            rebuild = Rebuild(runtime.definition, beside, runtime.reader, journal, runtime.clock, pause_seconds=0.05)
            return await rebuild.check()

    async def rebuild(self, *options: str, url: str | None = None) -> "subprocess.CompletedProcess[str]":
        """The service's own command, in a process of its own beside the running service."""
        return await asyncio.to_thread(
            order_command, "rebuild", *options, url=url or self.url, journal=self.vhost.url("monitoring")
        )


def order_command(*arguments: str, url: str, journal: str = "") -> "subprocess.CompletedProcess[str]":
    """`python -m order_svc …` on a store; its output is for the test to look at."""
    environment = os.environ | {"ORDER_DATABASE_URL": url, "LOG_FORMAT": "json"}
    environment |= {"JOURNAL_URL": journal} if journal else {}
    return subprocess.run(  # noqa: S603 - our own service
        [sys.executable, "-m", "order_svc", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
async def orders(store_url: str, rabbit_vhost: RabbitVhost) -> AsyncIterator[Orders]:
    await asyncio.to_thread(migrate, "order_svc", store_url)
    transport = AmqpTransport(rabbit_vhost.url("order"), shop_topology(), service="order")
    app = build(OrderSettings(database_url=store_url), Environment(store=Store(store_url), transport=transport))
    bus = AmqpTransport(rabbit_vhost.url(), shop_topology(), service="operator")
    await connected(bus)
    async with app.router.lifespan_context(app):
        orders = Orders(app, rabbit_vhost, store_url, bus)
        await orders.hear(orders.mint.published)
        yield orders
    await bus.stop()
