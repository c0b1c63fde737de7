"""What every transport must do, said once and held against both: memory and a real RabbitMQ."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from chassis.topology import DEAD, EVENTS, RETRY_TIERS, dead_queue, inbox_queue, shop_topology
from chassis.transport import BrokerUnavailableError, Outcome, OutgoingMessage, SubscriptionClosedError, Transport
from chassis.transport.amqp import AmqpTransport
from chassis.transport.memory import MemoryBroker, MemoryTransport
from tests.support.messages import a_message, connected, live, publish_until_certain, receive
from tests.support.waiting import wait_until

INBOX = inbox_queue("order")
LETTERS = dead_queue("order")
MEGABYTE = 1_000_000


@dataclass
class World:
    """One broker, and as many transports to it as a test wants."""

    connect: Callable[[], Transport]


@pytest.fixture(params=["memory", pytest.param("amqp", marks=pytest.mark.rabbit)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    opened: list[Transport] = []
    if request.param == "memory":
        broker = MemoryBroker()

        def open_one() -> Transport:
            return MemoryTransport(broker, "operator")
    else:
        url = request.getfixturevalue("rabbit_vhost").url()

        def open_one() -> Transport:
            return AmqpTransport(url, shop_topology(), service="operator")

    def connect() -> Transport:
        opened.append(open_one())
        return opened[-1]

    yield World(connect)
    for transport in opened:
        await transport.stop()


@pytest.fixture
async def transport(world: World) -> Transport:
    return await started(world)


async def started(world: World) -> Transport:
    return await connected(world.connect())


async def published(transport: Transport, *messages: OutgoingMessage) -> list[Outcome]:
    return [result.outcome for result in await transport.publish(messages)]


async def test_a_published_event_reaches_its_reader_with_all_it_carries(transport: Transport) -> None:
    message = a_message(type="stock.reserved.v1", correlation_id="order-1", headers={"attempt": 2, "why": "retry"})
    assert await published(transport, message) == [Outcome.ACK]
    [delivery] = await receive(await live(transport, INBOX), 1)
    assert (delivery.body, delivery.message_id, delivery.type) == (message.body, message.message_id, message.type)
    assert (delivery.exchange, delivery.routing_key) == (EVENTS, "stock.reserved.v1")
    assert (delivery.headers["attempt"], delivery.headers["why"]) == (2, "retry")
    assert (delivery.correlation_id, delivery.redelivered, delivery.delivery_count) == ("order-1", False, 0)


async def test_results_are_in_the_order_of_the_messages(transport: Transport) -> None:
    unroutable = {"exchange": DEAD, "routing_key": "nobody"}
    messages = [a_message(**(unroutable if index % 3 == 0 else {})) for index in range(30)]
    expected = [Outcome.RETURNED if index % 3 == 0 else Outcome.ACK for index in range(30)]
    assert await published(transport, *messages) == expected


async def test_equal_message_ids_get_their_own_answers(transport: Transport) -> None:
    lost, arriving = a_message(exchange=DEAD, routing_key="nobody"), a_message()
    twin = a_message(message_id=lost.message_id)
    assert await published(transport, lost, twin, arriving) == [Outcome.RETURNED, Outcome.ACK, Outcome.ACK]


async def test_a_refused_message_does_not_take_others_with_it(transport: Transport) -> None:
    messages = [a_message(), a_message(), a_message(exchange="no.such.exchange"), a_message(), a_message()]
    results = await publish_until_certain(transport, messages)
    assert [result.outcome for result in results] == [
        Outcome.ACK,
        Outcome.ACK,
        Outcome.NACKED,
        Outcome.ACK,
        Outcome.ACK,
    ]
    assert "no exchange 'no.such.exchange'" in results[2].reason


async def test_without_a_connection_the_outcome_is_unknown_at_once(world: World) -> None:
    transport = world.connect()
    assert await published(transport, a_message(), a_message()) == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert not transport.health().publisher_connected


async def test_nothing_to_publish_is_no_trouble(transport: Transport) -> None:
    assert await transport.publish([]) == []


async def test_an_acked_message_is_gone_and_a_requeued_one_comes_again_counted(transport: Transport) -> None:
    first, second = a_message(), a_message()
    await published(transport, first, second)
    subscription = await live(transport, INBOX)
    one, two = await receive(subscription, 2)
    await subscription.ack([one])
    await subscription.requeue([two])
    [again] = await receive(subscription, 1)
    assert again.message_id == two.message_id
    assert (again.redelivered, again.delivery_count) == (True, 1)


async def test_prefetch_limits_what_is_unsettled(transport: Transport) -> None:
    await published(transport, *(a_message() for _ in range(5)))
    subscription = await live(transport, INBOX, prefetch=2)
    held = await receive(subscription, 2)
    await subscription.ack(held[:1])
    [third] = await subscription.receive(10)
    assert third.message_id not in {delivery.message_id for delivery in held}


async def test_acking_out_of_order_settles_exactly_what_was_named(world: World, transport: Transport) -> None:
    await published(transport, *(a_message(body=str(number).encode()) for number in range(6)))
    subscription = await live(transport, INBOX)
    held = await receive(subscription, 6)
    await subscription.ack([held[0], held[1], held[3], held[5]])
    await transport.stop()
    remaining = await receive(await live(await started(world), INBOX), 2)
    assert sorted(delivery.body for delivery in remaining) == [b"2", b"4"]


async def test_after_stop_what_was_handed_out_can_be_settled_and_the_rest_goes_to_others(
    world: World, transport: Transport
) -> None:
    await published(transport, *(a_message(body=str(number).encode()) for number in range(4)))
    leaving = await live(transport, INBOX)
    [taken] = await leaving.receive(1)
    await leaving.stop()
    assert not leaving.live
    await leaving.ack([taken])
    with pytest.raises(SubscriptionClosedError):
        await leaving.receive(1)
    remaining = await receive(await live(await started(world), INBOX), 3)
    assert sorted(delivery.body for delivery in remaining) == [b"1", b"2", b"3"]


async def test_what_was_not_settled_when_a_transport_stopped_comes_again(world: World, transport: Transport) -> None:
    await published(transport, a_message())
    subscription = await live(transport, INBOX)
    [held] = await subscription.receive(1)
    await transport.stop()
    await subscription.ack([held])
    [again] = await receive(await live(await started(world), INBOX), 1)
    assert (again.message_id, again.delivery_count) == (held.message_id, 1)


async def test_past_the_delivery_limit_a_message_is_a_dead_letter(transport: Transport) -> None:
    await published(transport, a_message())
    subscription = await live(transport, INBOX, prefetch=1)
    for delivery_count in range(21):
        [delivery] = await subscription.receive(1)
        assert delivery.delivery_count == delivery_count
        await subscription.requeue([delivery])
    [dead] = await receive(await live(transport, dead_queue("order")), 1)
    assert (dead.message_id, dead.exchange, dead.routing_key) == (delivery.message_id, DEAD, "order")
    assert (dead.headers["x-first-death-queue"], dead.headers["x-first-death-reason"]) == (INBOX, "delivery_limit")


async def test_a_retry_tier_brings_a_message_back_to_the_one_queue_it_names(transport: Transport) -> None:
    message = a_message(exchange=RETRY_TIERS[0].exchange, routing_key=INBOX, headers={"attempt": 1})
    assert await published(transport, message) == [Outcome.ACK]
    [delivery] = await receive(await live(transport, INBOX), 1)
    assert (delivery.message_id, delivery.headers["attempt"]) == (message.message_id, 1)
    assert (delivery.exchange, delivery.routing_key) == ("", INBOX)


async def test_two_consumers_share_the_work(transport: Transport) -> None:
    first, second = await live(transport, INBOX, prefetch=1), await live(transport, INBOX, prefetch=1)
    await published(transport, a_message(), a_message())
    [one], [two] = await first.receive(10), await second.receive(10)
    assert one.message_id != two.message_id


async def test_a_queue_that_does_not_exist_is_reported(transport: Transport) -> None:
    subscription = transport.subscribe("nobody.inbox", prefetch=1)
    await wait_until(lambda: transport.health().topology_error is not None)
    assert "nobody.inbox" in str(transport.health().topology_error)
    assert not subscription.live


async def bury(transport: Transport, *bodies: bytes) -> None:
    letters = (a_message(exchange=DEAD, routing_key="order", body=body) for body in bodies)
    assert set(await published(transport, *letters)) == {Outcome.ACK}


async def seen(transport: Transport, limit: int = 100, max_bytes: int = MEGABYTE) -> tuple[list[bytes], int]:
    """The bodies one gets to see, and how many messages are behind them."""
    async with transport.browse(LETTERS, limit=limit, max_bytes=max_bytes) as browse:
        return [delivery.body for delivery in browse.held], browse.behind


async def test_who_looks_at_a_queue_leaves_it_as_it_was(world: World, transport: Transport) -> None:
    await bury(transport, b"1", b"2", b"3", b"4")
    for _ in range(3):
        assert await seen(transport) == ([b"1", b"2", b"3", b"4"], 0)
    await transport.stop()
    consumer = await live(await started(world), LETTERS)
    assert [delivery.body for delivery in await receive(consumer, 4)] == [b"1", b"2", b"3", b"4"]


async def test_a_look_counts_as_one_delivery_of_what_was_held(transport: Transport) -> None:
    await bury(transport, b"1", b"2")
    await seen(transport, limit=1)
    await seen(transport, limit=1)
    async with transport.browse(LETTERS, limit=2, max_bytes=MEGABYTE) as browse:
        assert [delivery.delivery_count for delivery in browse.held] == [2, 0]


async def test_a_look_is_limited_and_tells_what_is_behind(transport: Transport) -> None:
    await bury(transport, b"11111", b"22222", b"33333")
    assert await seen(transport, limit=1) == ([b"11111"], 2)
    assert await seen(transport, max_bytes=5) == ([b"11111"], 2)
    assert await seen(transport, max_bytes=6) == ([b"11111", b"22222"], 1)
    assert await seen(transport, limit=2) == ([b"11111", b"22222"], 1)
    assert await seen(transport, limit=3) == ([b"11111", b"22222", b"33333"], 0)


async def test_what_is_removed_while_looking_is_gone_and_the_rest_keeps_its_order(transport: Transport) -> None:
    await bury(transport, b"1", b"2", b"3", b"4", b"5")
    async with transport.browse(LETTERS, limit=4, max_bytes=MEGABYTE) as browse:
        await browse.remove([browse.held[1], browse.held[3]])
        await browse.remove([browse.held[1]])
        await bury(transport, b"6")
    assert await seen(transport) == ([b"1", b"3", b"5", b"6"], 0)


async def test_nobody_else_gets_what_is_being_looked_at(transport: Transport) -> None:
    await bury(transport, b"1", b"2")
    async with transport.browse(LETTERS, limit=1, max_bytes=MEGABYTE):
        assert await seen(transport) == ([b"2"], 0)
    bodies, behind = await seen(transport)
    assert (sorted(bodies), behind) == ([b"1", b"2"], 0)


async def test_an_error_while_looking_leaves_everything_there(transport: Transport) -> None:
    await bury(transport, b"1", b"2")
    with pytest.raises(LookupError):
        async with transport.browse(LETTERS, limit=2, max_bytes=MEGABYTE):
            raise LookupError
    assert await seen(transport) == ([b"1", b"2"], 0)


async def test_an_empty_queue_has_nothing_to_show(transport: Transport) -> None:
    assert await seen(transport) == ([], 0)


async def test_a_queue_that_does_not_exist_cannot_be_looked_at(transport: Transport) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"nobody\.dead"):
        async with transport.browse("nobody.dead", limit=1, max_bytes=MEGABYTE):
            pass
    assert transport.health().publisher_connected


async def test_depths_tell_what_waits_and_who_consumes(world: World, transport: Transport) -> None:
    await bury(transport, b"1", b"2")
    before = await transport.depths([LETTERS, INBOX])
    assert [(each.queue, each.ready, each.consumers) for each in before] == [(LETTERS, 2, 0), (INBOX, 0, 0)]
    await live(await started(world), INBOX)
    [inbox] = await transport.depths([INBOX])
    assert inbox.consumers == 1


async def test_depths_of_what_is_not_there_cannot_be_told(transport: Transport) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"nobody\.dead"):
        await transport.depths([LETTERS, "nobody.dead"])
    assert transport.health().publisher_connected


async def test_headers_of_the_broker_cannot_be_forged() -> None:
    with pytest.raises(ValueError, match="x-death"):
        a_message(headers={"x-death": 1})
