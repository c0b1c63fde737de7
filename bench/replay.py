"""The journal: how fast it is read, and a projection made from it again, beside the same by hand."""

from typing import Final
from uuid import UUID, uuid4

import aio_pika

from bench.processes import WorkFailedError, measured
from bench.publishing import persistent, publish_all
from bench.rounds import Contestant, Row, Sample, interleaved
from bench.servers import Node
from chassis.clock import SystemClock
from chassis.topology import JOURNAL
from contracts.catalog import ProductChanged
from contracts.envelope import Envelope
from contracts.money import Money

PRODUCTS: Final = 1_000
EXCHANGE: Final = "bench.journal"


async def fill(url: str, events: int) -> None:
    """Put this many changes of `PRODUCTS` products into the journal, and nowhere else."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        await (await channel.get_queue(JOURNAL, ensure=False)).bind(exchange, "#")
        await publish_all(exchange, ((_changed(number), ProductChanged.wire_name) for number in range(events)))


class Replayer:
    """One contestant: a process that reads the whole journal, and reports how many events and products it found."""

    def __init__(self, module: str, work: str, url: str, events: int) -> None:
        self._arguments = (module, work, url)
        self._events = events
        self._expected = (events, min(events, PRODUCTS) if work == "rebuild" else 0)

    async def once(self) -> Sample:
        """
        Raises:
            WorkFailedError: it did not find everything.
        """
        answer = await measured(*self._arguments)
        if (found := (answer["events"], answer["products"])) != self._expected:
            raise WorkFailedError(f"{self._arguments[:2]}: found {found}, not {self._expected}")
        return Sample(self._events, answer["seconds"], answer["cpu_seconds"], rss_mib=answer["rss_mib"])


async def replay(node: Node, events: int, rounds: int) -> list[Row]:
    """The rows of the part `replay`."""
    url = node.new_vhost()
    await fill(url, events)
    rows: list[Row] = []
    for work, title in (("read", "journal read"), ("rebuild", "rebuild of order_svc's products")):
        by_hand = Replayer("bench.replay_floor", work, url, events)
        ours = Replayer("bench.replay_ours", work, url, events)
        contestants = [
            Contestant("hand-written", "floor", by_hand.once),
            Contestant("ops and chassis", "ours", ours.once),
        ]
        rows += await interleaved(title, contestants, rounds)
    return rows


def _changed(number: int) -> aio_pika.Message:
    sku = f"BENCH-{number % PRODUCTS:04}"
    version = number // PRODUCTS + 1
    price = Money(amount=1000 + version, currency="EUR")
    event = ProductChanged(sku=sku, title=f"Book {sku}", category="Bench", price=price, version=version)
    return persistent(
        Envelope(
            id=uuid4(),
            source="/catalog",
            type=event.wire_name,
            subject=event.subject,
            time=SystemClock().now(),
            correlationid=UUID(int=number),
            aggregateversion=version,
            data=event.model_dump(mode="json"),
        )
    )
