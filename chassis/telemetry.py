"""Prometheus metrics of one service, in a registry of its own (several services may share a process)."""

import asyncio
import math
import time
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from chassis.observer import Figure, Observer
from chassis.runtime import Runtime
from chassis.topology import RETRY_TIERS, dead_queue
from chassis.transport import BrokerUnavailableError

HTTP_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
HOP_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
DEAD_KEPT_SECONDS: Final = 15.0
DEAD_ANSWER_SECONDS: Final = 1.0
"""A broker that does not answer must not keep the rest of the page from whoever asks for it."""
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics(Observer):
    """What happened is counted as it happens; what is the case (depths, ages) is looked up when somebody asks."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time to answer by route, method and status.",
            ["route", "method", "status"],
            buckets=HTTP_BUCKETS,
            registry=self.registry,
        )
        self._published = self._counter("events_published", "Answers of the broker to a publish.", "type", "outcome")
        self._parked = self._counter(
            "outbox_parked", "Outbox rows the relay gave up on until an operator acts.", "type"
        )
        self._consumed = self._counter(
            "events_consumed", "Deliveries by what became of them: handled, duplicate, retried, dead.", "type", "result"
        )
        self._retried = self._counter("events_retried", "Deliveries sent to a retry tier.", "tier")
        self._swept = self._counter("sweep_found", "Things periodic tasks dealt with.", "sweep")
        self._hop = Histogram(
            "event_hop_seconds",
            "Age of an event when its effect was committed.",
            ["type"],
            buckets=HOP_BUCKETS,
            registry=self.registry,
        )
        self._batch_jobs = Histogram(
            "writer_batch_jobs", "Jobs per transaction.", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self._batch_seconds = Histogram(
            "writer_batch_seconds", "Time per transaction.", buckets=HTTP_BUCKETS, registry=self.registry
        )
        self._outbox_depth = self._gauge("outbox_pending", "Events committed and not yet confirmed by the broker.")
        self._outbox_age = self._gauge("outbox_oldest_age_seconds", "Age of the oldest of them.")
        self._outbox_parked_rows = self._gauge("outbox_parked_rows", "Outbox rows that wait for an operator now.")
        self._leads = self._gauge("relay_leads", "1 while this process is the one that publishes its service's events.")
        self._waiting = self._gauge("writer_waiting_jobs", "Jobs that wait for a transaction.")
        self._connected = self._gauge("broker_connected", "1 while the publishing connection is up.")
        for tier in RETRY_TIERS:
            self._retried.labels(tier.exchange)  # from zero on: what begins at one is no increase
        self._dead = self._gauge(
            "dead_letters_waiting",
            "Messages in the service's dead queue, as the broker told in the last 15 s; NaN: it cannot be asked.",
        )
        self._dead_asked_at: float | None = None
        self._live = self._gauge("consumer_live", "1 while the broker knows our consumer.")
        self._reconnects = self._counter("broker_reconnects", "Times the connection was made again.")
        self._reconnects_seen = 0
        self._figures: dict[str, Gauge] = {}
        ProcessCollector(registry=self.registry)
        self._observe: dict[tuple[str, str, int], Any] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request; `route` is the template, never the path itself."""
        key = (route, method, status)
        observe = self._observe.get(key)
        if observe is None:
            observe = self._observe[key] = self._requests.labels(route, method, str(status)).observe
        observe(seconds)

    def published(self, event_type: str, outcome: str) -> None:
        self._published.labels(event_type, outcome).inc()

    def parked(self, event_type: str) -> None:
        self._parked.labels(event_type).inc()

    def consumed(self, event_type: str, result: str) -> None:
        self._consumed.labels(event_type, result).inc()

    def hop(self, event_type: str, age: timedelta) -> None:
        self._hop.labels(event_type).observe(max(0.0, age.total_seconds()))

    def retried(self, tier: str) -> None:
        self._retried.labels(tier).inc()

    def swept(self, sweep: str, found: int) -> None:
        self._swept.labels(sweep).inc(found)

    def batch(self, jobs: int, seconds: float) -> None:
        self._batch_jobs.observe(jobs)
        self._batch_seconds.observe(seconds)

    async def exposition(self, runtime: Runtime[Any]) -> bytes:
        """The registry in Prometheus' text format, gauges looked up now."""
        await self._look_up(runtime)
        return generate_latest(self.registry)

    async def _look_up(self, runtime: Runtime[Any]) -> None:
        outbox = runtime.definition.tables.outbox
        pending = sa.and_(outbox.c.published_at.is_(None), outbox.c.parked_at.is_(None))
        oldest = sa.func.min(outbox.c.created_at, type_=outbox.c.created_at.type)
        row = await runtime.reader.first(
            sa.select(sa.func.count().label("depth"), oldest.label("since")).where(pending)
        )
        parked = await runtime.reader.first(
            sa.select(sa.func.count().label("rows")).where(
                outbox.c.published_at.is_(None), outbox.c.parked_at.isnot(None)
            )
        )
        self._outbox_parked_rows.set(parked["rows"] if parked else 0)
        since = row["since"] if row else None
        self._outbox_depth.set(row["depth"] if row else 0)
        self._outbox_age.set((runtime.clock.now() - since).total_seconds() if since else 0)
        await self._count_dead(runtime)
        health = runtime.transport.health()
        self._connected.set(health.publisher_connected)
        self._reconnects.inc(max(0, health.reconnects - self._reconnects_seen))
        self._reconnects_seen = health.reconnects
        self._live.set(runtime.consumer.live)
        self._leads.set(runtime.relay.leads)
        self._waiting.set(runtime.writer.waiting)
        for figure in runtime.figures:
            gauge = self.declare(figure)
            for value, number in (await figure.look()).items():
                gauge.labels(value).set(number)

    async def _count_dead(self, runtime: Runtime[Any]) -> None:
        """Each question opens a connection to the broker, so the answer is kept for a while, a missing one as well."""
        if not runtime.transport.health().publisher_connected:
            self._dead.set(math.nan)
            return
        now = time.monotonic()
        if self._dead_asked_at is not None and now - self._dead_asked_at < DEAD_KEPT_SECONDS:
            return
        self._dead_asked_at = now
        try:
            async with asyncio.timeout(DEAD_ANSWER_SECONDS):
                [depth] = await runtime.transport.depths([dead_queue(runtime.name)])
        except (BrokerUnavailableError, TimeoutError):
            self._dead.set(math.nan)
        else:
            self._dead.set(depth.ready)

    def declare(self, figure: Figure) -> Gauge:
        """The gauge of a service's own figure, made the first time."""
        gauge = self._figures.get(figure.name)
        if gauge is None:
            gauge = self._figures[figure.name] = Gauge(figure.name, figure.text, [figure.label], registry=self.registry)
        return gauge

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
