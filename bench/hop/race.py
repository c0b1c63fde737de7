"""The race of the hops: each round fills the contestant's own queue, then times a process that works it off."""

from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import aio_pika

from bench.durability import count
from bench.hop.work import QUEUE, TYPE_IN, counter_id, schema
from bench.processes import WorkFailedError, measured
from bench.publishing import persistent, publish_all
from bench.rounds import Contestant, Row, Sample, interleaved
from bench.servers import Node
from bench.stores import Stores, make_tables
from chassis.clock import SystemClock
from contracts.envelope import Envelope
from contracts.order import OrderCancelled

IN_BATCHES: Final = "hand-written, batches of 100"
FASTSTREAM: Final = "FastStream + SQLAlchemy"
FASTSTREAM_SETTINGS: Final = ((10, 1), (10, 2), (50, 2), (200, 2), (10, 5), (50, 5))
"""Prefetch and pool: how many messages it handles at once, and how many connections to the store they share."""
HEAT_EVENTS: Final = 150
HEAT_ROUNDS: Final = 2


async def fill(url: str, events: int) -> None:
    """Publish this many events into the inbox, confirmed."""
    connection = await aio_pika.connect(url)
    async with connection:
        exchange = (await connection.channel(on_return_raises=True)).default_exchange
        await publish_all(exchange, ((_message(number), QUEUE) for number in range(events)))


async def left_over(url: str) -> int:
    """Messages of the inbox that are ready; a contestant's connection is closed by then, so that is all of them."""
    connection = await aio_pika.connect(url)
    async with connection:
        queue = await (await connection.channel()).declare_queue(QUEUE, passive=True)
        return queue.declaration_result.message_count or 0


@dataclass
class Hopper:
    """One contestant: a module run as a process, on a virtual host and a store of its own."""

    module: str
    events: int
    url: str
    store: str
    extra: tuple[str, ...] = ()
    done: int = 0

    async def once(self) -> Sample:
        """One round.

        Raises:
            WorkFailedError: the process failed, or rows or messages are missing or too many.
        """
        await fill(self.url, self.events)
        answer = await measured(self.module, self.url, self.store, str(self.events), *self.extra)
        self.done += self.events
        await self._check()
        return Sample(self.events, answer["seconds"], answer["cpu_seconds"], rss_mib=answer["rss_mib"])

    async def _check(self) -> None:
        handled = await count(self.store, "inbox"), await count(self.store, "ledger")
        left = await left_over(self.url)
        if handled != (self.done, self.done) or left:
            raise WorkFailedError(f"{self.module}: inbox and ledger {handled}, not {self.done}; {left} messages left")


async def race(node: Node, stores: Stores, rounds: int, scale: float, *, peers: bool = True) -> list[Row]:
    """All contestants; `scale` makes the rounds shorter (0.1) or longer. Without `peers` FastStream is not needed."""

    async def hopper(name: str, module: str, events: int, *extra: str, by_hand: bool = True) -> Hopper:
        store = await stores.new(name)
        if by_hand:
            await make_tables(store, schema(stores.kind))
        return Hopper(f"bench.hop.{module}", max(20, int(events * scale)), node.new_vhost(), store, extra)

    contestants = [
        Contestant(IN_BATCHES, "floor", (await hopper("batch", "floor", 3000, "100")).once),
        Contestant("hand-written, one by one", "floor", (await hopper("single", "floor", 600, "1")).once),
        Contestant("the chassis", "ours", (await hopper("ours", "ours", 2500, by_hand=False)).once),
    ]
    if peers:
        prefetch, pool = await _heat(node, stores, scale)
        peer = await hopper("faststream", "faststream_peer", 300, str(prefetch), str(pool))
        note = (
            f"no outbox; prefetch {prefetch}, pool {pool}: the fastest of {len(FASTSTREAM_SETTINGS)} tried just before"
        )
        contestants.append(Contestant(FASTSTREAM, "peer", peer.once, note))
    return await interleaved("event hop", contestants, rounds)


async def _heat(node: Node, stores: Stores, scale: float) -> tuple[int, int]:
    """The settings with which FastStream is fastest here and now, so that it races at its best."""
    settings: dict[str, tuple[int, int]] = {}
    contestants: list[Contestant] = []
    for prefetch, pool in FASTSTREAM_SETTINGS:
        store = await stores.new(f"heat_{prefetch}_{pool}")
        await make_tables(store, schema(stores.kind))
        events = max(20, int(HEAT_EVENTS * scale))
        hopper = Hopper("bench.hop.faststream_peer", events, node.new_vhost(), store, (str(prefetch), str(pool)))
        name = f"prefetch {prefetch}, pool {pool}"
        settings[name] = (prefetch, pool)
        contestants.append(Contestant(name, "peer", hopper.once))
    rows = await interleaved("FastStream's settings", contestants, HEAT_ROUNDS if scale >= 1 else 1)
    return settings[max(rows, key=lambda row: row.rate_max).contestant]


async def drain(node: Node, stores: Stores, rounds: int, events: int) -> list[Row]:
    """A backlog of `events` worked off by the chassis, in one go each round."""
    ours = Hopper("bench.hop.ours", events, node.new_vhost(), await stores.new("backlog"))
    return await interleaved(f"backlog of {events:,} events", [Contestant("the chassis", "ours", ours.once)], rounds)


def _message(number: int) -> aio_pika.Message:
    event = OrderCancelled(order_id=counter_id(number), reason="bench")
    envelope = Envelope(
        id=uuid4(),
        source="/bench",
        type=TYPE_IN,
        subject=event.subject,
        time=SystemClock().now(),
        correlationid=event.order_id,
        aggregateversion=1,
        data=event.model_dump(mode="json"),
    )
    return persistent(envelope)
