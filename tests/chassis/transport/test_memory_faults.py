"""The memory broker's faults and its clock: what simulations stand on must do exactly what it says."""

import asyncio
import gc
import random
from datetime import UTC, datetime, timedelta

import pytest

from chassis.topology import RETRY_TIERS, inbox_queue
from chassis.transport import Outcome, OutgoingMessage, SubscriptionClosedError
from chassis.transport.memory import MemoryBroker, MemorySubscription, MemoryTransport
from tests.support.messages import a_message, receive
from tests.support.waiting import wait_until

INBOX = inbox_queue("order")


class ManualClock:
    """Time that stands still until told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> MemoryBroker:
    return MemoryBroker(clock=clock)


@pytest.fixture
async def transport(broker: MemoryBroker) -> MemoryTransport:
    transport = MemoryTransport(broker, "order")
    await transport.start()
    return transport


@pytest.fixture
def inbox(transport: MemoryTransport) -> MemorySubscription:
    return transport.subscribe(INBOX, prefetch=10)


async def publish(transport: MemoryTransport, *messages: OutgoingMessage) -> list[Outcome]:
    return [result.outcome for result in await transport.publish(messages)]


async def test_a_lost_confirm_is_unknown_and_the_message_arrived(
    broker: MemoryBroker, transport: MemoryTransport
) -> None:
    broker.faults.lose_confirms = 1
    assert await publish(transport, a_message(), a_message()) == [Outcome.UNKNOWN, Outcome.ACK]
    assert len(broker.ready(INBOX)) == 2


async def test_a_duplicate_arrives_twice_under_one_id(
    broker: MemoryBroker, transport: MemoryTransport, inbox: MemorySubscription
) -> None:
    broker.faults.duplicates = 1
    assert await publish(transport, a_message()) == [Outcome.ACK]
    first, second = await receive(inbox, 2)
    assert first.message_id == second.message_id


async def test_a_refused_message_is_not_stored(broker: MemoryBroker, transport: MemoryTransport) -> None:
    broker.faults.refuse = lambda message: "too big" if message.message_id == "big" else None
    [refused, taken] = await transport.publish([a_message(message_id="big"), a_message()])
    assert (refused.outcome, refused.reason, taken.outcome) == (Outcome.NACKED, "too big", Outcome.ACK)
    assert len(broker.ready(INBOX)) == 1


async def test_a_blocked_broker_delivers_late_what_it_did_not_confirm(
    broker: MemoryBroker, transport: MemoryTransport, clock: ManualClock, inbox: MemorySubscription
) -> None:
    await publish(transport, a_message(message_id="before"))
    broker.block()
    assert await publish(transport, a_message(message_id="during")) == [Outcome.UNKNOWN]
    assert transport.health().blocked_since == clock.now()
    [before] = await receive(inbox, 1)
    broker.unblock()
    [during] = await receive(inbox, 1)
    assert (before.message_id, during.message_id) == ("before", "during")


async def test_a_dropped_session_gives_everything_back_counted_even_what_was_only_prefetched(
    broker: MemoryBroker, transport: MemoryTransport
) -> None:
    await publish(transport, *(a_message() for _ in range(4)))
    inbox = transport.subscribe(INBOX, prefetch=3)
    held = await receive(inbox, 1)
    broker.drop_sessions("order")
    await inbox.ack(held)
    assert [message.deliveries for message in broker.ready(INBOX)] == [1, 1, 1, 0]
    assert transport.health().reconnects == 1
    assert (await receive(inbox, 1))[0].message_id == held[0].message_id


async def test_cut_off_a_service_neither_publishes_nor_receives(
    broker: MemoryBroker, transport: MemoryTransport, inbox: MemorySubscription
) -> None:
    broker.disconnect()
    assert await publish(transport, a_message()) == [Outcome.UNKNOWN]
    assert not inbox.live
    broker.reconnect()
    assert inbox.live
    assert await publish(transport, a_message()) == [Outcome.ACK]


async def test_retries_wait_for_the_clock_and_each_tier_for_its_own_time(
    broker: MemoryBroker, transport: MemoryTransport, clock: ManualClock
) -> None:
    for tier in RETRY_TIERS:
        await publish(transport, a_message(exchange=tier.exchange, routing_key=INBOX, message_id=tier.exchange))
    arrived: list[str] = []
    for tier in RETRY_TIERS:
        due = broker.next_due()
        assert due is not None
        clock.advance((due - clock.now()).total_seconds())
        assert broker.release_due() == 1
        arrived = [message.outgoing.message_id for message in broker.ready(INBOX)]
        assert arrived[-1] == tier.exchange
    assert broker.next_due() is None


async def test_shuffling_reorders_what_waits_and_loses_nothing(
    broker: MemoryBroker, transport: MemoryTransport, inbox: MemorySubscription
) -> None:
    await publish(transport, *(a_message(body=bytes([number])) for number in range(8)))
    broker.shuffle(INBOX, random.Random(1))
    bodies = [delivery.body for delivery in await receive(inbox, 8)]
    assert bodies != sorted(bodies)
    assert sorted(bodies) == [bytes([number]) for number in range(8)]


async def test_the_journal_and_idleness(
    broker: MemoryBroker, transport: MemoryTransport, inbox: MemorySubscription
) -> None:
    assert broker.idle()
    message = a_message()
    await publish(transport, message)
    assert broker.journal == [message]
    assert not broker.idle()
    held = await receive(inbox, 1)
    assert not broker.idle()
    await inbox.ack(held)
    assert broker.idle()


async def test_a_broker_for_a_long_run_keeps_nothing_of_what_was_settled(clock: ManualClock) -> None:
    broker = MemoryBroker(clock=clock, keep_journal=False)
    transport = MemoryTransport(broker, "order")
    await transport.start()
    inbox = transport.subscribe(INBOX, prefetch=10)
    body = b"found again wherever it is still kept"
    await publish(transport, *(a_message(body=body) for _ in range(5)))
    await inbox.ack(await receive(inbox, 5))
    assert broker.idle()
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, OutgoingMessage) and each.body == body]
    assert kept == []


async def test_a_waiting_receiver_learns_that_it_was_stopped(inbox: MemorySubscription) -> None:
    stopping = asyncio.create_task(inbox.stop())
    with pytest.raises(SubscriptionClosedError):
        await inbox.receive(1)
    await stopping


async def test_the_machines_clock_releases_by_itself() -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker, "order")
    await transport.start()
    await transport.publish([a_message(exchange=RETRY_TIERS[0].exchange, routing_key=INBOX)])
    await wait_until(lambda: len(broker.ready(INBOX)) == 1, timeout=3)
    await transport.stop()
