"""What the RabbitMQ transport does when the broker is killed, frozen, full, or not prepared."""

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import pytest

from chassis.clock import SystemClock
from chassis.topology import DEAD, MONITORING_USER, Binding, Queue, Topology, dead_queue, inbox_queue, shop_topology
from chassis.transport import BrokerUnavailableError, Outcome, SubscriptionClosedError, Transport
from chassis.transport.amqp import AmqpTransport, TopologyError, apply_topology
from chassis.transport.amqp.link import Link
from chassis.transport.amqp.publisher import Publisher
from tests.fixtures.broker import RabbitNode, RabbitVhost
from tests.support.messages import a_message, connected, live, publish_until_certain, receive
from tests.support.waiting import wait_until

pytestmark = pytest.mark.rabbit
INBOX = inbox_queue("order")

Open = Callable[[str], AmqpTransport]


@pytest.fixture
async def open_transport(rabbit_vhost: RabbitVhost) -> AsyncIterator[Open]:
    opened: list[AmqpTransport] = []

    def open_one(url: str) -> AmqpTransport:
        opened.append(AmqpTransport(url, shop_topology(), service="order"))
        return opened[-1]

    yield open_one
    for transport in opened:
        await transport.stop()


@pytest.fixture
async def transport(open_transport: Open, rabbit_vhost: RabbitVhost) -> AmqpTransport:
    opened = open_transport(rabbit_vhost.url())
    await connected(opened)
    return opened


async def off_the_loop(action: Callable[[], object]) -> None:
    await asyncio.to_thread(action)


async def consumed(transport: Transport, queue: str, into: set[str]) -> None:
    """Receive and ack until the subscription is stopped."""
    subscription = await live(transport, queue, prefetch=50)
    while True:
        try:
            deliveries = await subscription.receive(50)
        except SubscriptionClosedError:
            return
        await subscription.ack(deliveries)
        into.update(str(delivery.message_id) for delivery in deliveries)


async def test_nothing_confirmed_is_lost_when_the_broker_is_killed(
    rabbit: RabbitNode, rabbit_vhost: RabbitVhost, transport: Transport
) -> None:
    confirmed: set[str] = set()
    received: set[str] = set()
    outcomes: set[Outcome] = set()
    stop = asyncio.Event()

    async def publish() -> None:
        while not stop.is_set():
            messages = [a_message() for _ in range(50)]
            results = await transport.publish(messages)
            outcomes.update(result.outcome for result in results)
            confirmed.update(m.message_id for m, r in zip(messages, results, strict=True) if r.outcome is Outcome.ACK)
            await asyncio.sleep(0.01)

    await off_the_loop(rabbit_vhost.make_durable)
    consuming = asyncio.create_task(consumed(transport, INBOX, received))
    publishing = asyncio.create_task(publish())
    await wait_until(lambda: len(received) > 200)
    await off_the_loop(rabbit.broker.kill)
    before = len(confirmed)
    await off_the_loop(rabbit.broker.restart)
    await wait_until(lambda: len(confirmed) > before + 200, timeout=40, message=str(transport.health()))
    stop.set()
    await publishing
    await wait_until(lambda: confirmed <= received, timeout=20, message=f"{len(confirmed - received)} lost")
    assert outcomes == {Outcome.ACK, Outcome.UNKNOWN}
    await wait_until(lambda: asyncio.to_thread(lambda: rabbit_vhost.consumers(INBOX) == 1), timeout=15)
    await transport.stop()
    await consuming


async def test_a_frozen_broker_makes_the_outcome_unknown_and_is_found_again(
    rabbit: RabbitNode, transport: Transport
) -> None:
    subscription = await live(transport, INBOX)
    rabbit.broker.pause()
    try:
        [result] = await transport.publish([a_message(exchange=DEAD, routing_key="nobody", message_id="again")])
    finally:
        rabbit.broker.resume()
    assert result.outcome is Outcome.UNKNOWN
    await connected(transport)
    [again] = await transport.publish([a_message(message_id="again")])
    assert again.outcome is Outcome.ACK, "the late return of the first try must not be taken for this one's answer"
    assert transport.health().reconnects == 1
    [delivery] = await receive(subscription, 1)
    assert delivery.message_id == "again"


async def test_under_a_memory_alarm_consuming_goes_on_and_publishing_says_so(
    rabbit: RabbitNode, transport: Transport
) -> None:
    await transport.publish([a_message() for _ in range(20)])
    subscription = await live(transport, INBOX, prefetch=5)
    await off_the_loop(lambda: rabbit.broker.memory_alarm(True))
    try:
        [first] = await transport.publish([a_message()])
        assert first.outcome is Outcome.UNKNOWN
        await wait_until(lambda: transport.health().blocked_since is not None)
        [second] = await transport.publish([a_message()])
        assert (second.outcome, second.reason) == (Outcome.UNKNOWN, "blocked by the broker")
        for _ in range(4):
            await subscription.ack(await receive(subscription, 5))
    finally:
        await off_the_loop(lambda: rabbit.broker.memory_alarm(False))
    await wait_until(lambda: transport.health().blocked_since is None)
    await connected(transport)
    assert [each.outcome for each in await transport.publish([a_message()])] == [Outcome.ACK]
    assert transport.health().reconnects == 1


async def test_while_blocked_a_distrusted_connection_is_kept() -> None:
    """A new one would be blocked as well, and everything published on it would arrive one more time later."""

    class BlockedForAWhile(Link):
        def __init__(self) -> None:
            self.closed, self.distrusted = asyncio.Event(), asyncio.Event()
            self.answers = [True, True, False]

        async def blocked(self) -> bool:
            return self.answers.pop(0)

    publisher = Publisher("amqp://nowhere", shop_topology(), name="test", user=None, clock=SystemClock())
    link = BlockedForAWhile()
    link.distrusted.set()
    await publisher.watch(link)
    assert link.answers == []


async def test_a_cut_connection_redelivers_what_was_held_and_late_acks_are_harmless(
    rabbit: RabbitNode, rabbit_vhost: RabbitVhost, transport: Transport
) -> None:
    await transport.publish([a_message(), a_message()])
    subscription = await live(transport, INBOX)
    held = await receive(subscription, 2)
    await off_the_loop(lambda: rabbit.broker.ctl("close_all_connections", "--vhost", rabbit_vhost.name, "test"))
    await wait_until(lambda: not subscription.live)
    await subscription.ack(held)
    await wait_until(lambda: subscription.live)
    again = await receive(subscription, 2)
    assert {delivery.message_id for delivery in again} == {delivery.message_id for delivery in held}
    assert all(delivery.delivery_count == 1 for delivery in again)
    await subscription.ack([*held, *again])
    await connected(transport)


async def test_a_queue_deleted_under_its_consumer_is_reported_and_taken_up_again(
    rabbit: RabbitNode, rabbit_vhost: RabbitVhost, transport: Transport
) -> None:
    subscription = await live(transport, INBOX)
    with rabbit.management() as management:
        management.delete(f"queues/{rabbit_vhost.name}/{INBOX}")
    await wait_until(lambda: INBOX in str(transport.health().topology_error))
    assert not subscription.live
    await apply_topology(rabbit_vhost.url(), shop_topology())
    await wait_until(lambda: subscription.live, timeout=15)
    assert transport.health().topology_error is None


async def test_a_missing_topology_is_one_clear_error_without_reconnecting(
    rabbit: RabbitNode, rabbit_vhost: RabbitVhost, open_transport: Open
) -> None:
    with rabbit.management() as management:
        management.delete(f"queues/{rabbit_vhost.name}/{dead_queue('payment')}")
    transport = open_transport(rabbit_vhost.url("order"))
    await transport.start()
    await wait_until(lambda: transport.health().topology_error is not None)
    health = transport.health()
    assert "the broker's queue 'payment.dead' cannot be used, apply the topology: NOT_FOUND" in str(
        health.topology_error
    )
    assert not health.publisher_connected
    [result] = await transport.publish([a_message()])
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, health.topology_error)
    await apply_topology(rabbit_vhost.url(), shop_topology())
    await connected(transport)
    assert transport.health().reconnects == 0


async def test_applying_the_topology_twice_changes_nothing(rabbit_vhost: RabbitVhost, transport: Transport) -> None:
    await transport.publish([a_message()])
    await apply_topology(rabbit_vhost.url(), shop_topology())
    await apply_topology(rabbit_vhost.url(), shop_topology())
    assert len(await receive(await live(transport, INBOX), 1)) == 1


async def test_a_queue_with_other_arguments_is_named_with_the_difference(rabbit_vhost: RabbitVhost) -> None:
    [inbox] = [queue for queue in shop_topology().queues if queue.name == INBOX]
    other = Topology((), (Queue(INBOX, {**inbox.arguments, "x-delivery-limit": 5}),), ())
    with pytest.raises(TopologyError, match=r"queue 'order\.inbox' .* inequivalent arg 'x-delivery-limit'"):
        await apply_topology(rabbit_vhost.url(), other)


async def test_a_dead_letter_survives_being_looked_at(
    rabbit: RabbitNode, rabbit_vhost: RabbitVhost, transport: Transport
) -> None:
    await transport.publish([a_message(exchange=DEAD, routing_key="order", message_id="dead-1")])

    def look_often() -> list[str]:
        with rabbit.management(MONITORING_USER) as management:
            seen = [management.peek(quote(rabbit_vhost.name), dead_queue("order"), 1) for _ in range(25)]
        return [message["properties"]["message_id"] for messages in seen for message in messages]

    assert await asyncio.to_thread(look_often) == ["dead-1"] * 25


async def test_a_refused_message_in_a_large_batch_is_the_only_one_refused(transport: Transport) -> None:
    messages = [a_message() for _ in range(200)]
    messages[77] = a_message(exchange="no.such.exchange")
    messages[150] = a_message(headers={"attempt": "x" * 100_000})
    results = await publish_until_certain(transport, messages)
    refused = {index: result.outcome for index, result in enumerate(results) if result.outcome is not Outcome.ACK}
    assert refused == {77: Outcome.NACKED, 150: Outcome.NACKED}


async def test_after_a_refusal_the_next_try_has_a_channel_of_its_own(
    rabbit_vhost: RabbitVhost, transport: AmqpTransport
) -> None:
    """The broker's end of the old one may go on refusing what it could store by now."""
    arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
    full = Topology((), (Queue("full", arguments),), (Binding(DEAD, "full", "full"),))
    await apply_topology(rabbit_vhost.url(), full)
    channels: list[object] = []

    async def refused() -> bool:
        [result] = await transport.publish([a_message(exchange=DEAD, routing_key="full")])
        channels.append(transport._publisher._channel)
        return result.outcome is Outcome.NACKED

    await wait_until(refused)
    before = channels[-2]
    assert before is not None
    assert [result.outcome for result in await transport.publish([a_message()])] == [Outcome.ACK]
    assert transport._publisher._channel not in {None, before}
    assert transport.health().reconnects == 0


async def test_a_cancelled_publish_leaves_a_transport_that_works(transport: Transport) -> None:
    messages = [a_message(message_id="twice") for _ in range(3)]
    publishing = asyncio.create_task(transport.publish(messages))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    await connected(transport)
    assert [each.outcome for each in await transport.publish([a_message(message_id="twice")])] == [Outcome.ACK]


async def test_starting_before_the_broker_is_there(open_transport: Open, rabbit: RabbitNode) -> None:
    transport = open_transport("amqp://order:wrong@127.0.0.1:1/")
    subscription = transport.subscribe(INBOX, prefetch=1)
    await transport.start()
    await wait_until(lambda: transport.health().last_error != "")
    assert not subscription.live
    assert not transport.health().publisher_connected
    await transport.stop()
    with pytest.raises(SubscriptionClosedError):
        await subscription.receive(1)


async def test_who_looks_when_the_connection_is_lost_learns_it_and_nothing_is_gone(
    rabbit: RabbitNode, transport: Transport
) -> None:
    await transport.publish([a_message(exchange=DEAD, routing_key="order", body=body) for body in (b"1", b"2")])
    dead = dead_queue("order")
    async with transport.browse(dead, limit=10, max_bytes=1000) as browse:
        await wait_until(lambda: cut_off(rabbit, f"order look at {dead}"), timeout=30)

        async def learnt() -> bool:
            try:
                await browse.remove([])
            except BrokerUnavailableError:
                return True
            return False

        await wait_until(learnt)
        with pytest.raises(BrokerUnavailableError):
            await browse.remove(browse.held)
    async with transport.browse(dead, limit=10, max_bytes=1000) as browse:
        assert [delivery.body for delivery in browse.held] == [b"1", b"2"]


def cut_off(rabbit: RabbitNode, name: str) -> bool:
    """Close the connections of this name; whether there was any."""
    with rabbit.management() as management:
        named = [
            connection["name"]
            for connection in management.get("connections")
            if connection.get("client_properties", {}).get("connection_name") == name
        ]
        for connection in named:
            management.delete(f"connections/{quote(connection, safe='')}")
    return bool(named)
