"""Least privilege on a real node: what a service's broker user may do, and what it may not."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPChannelError, AMQPConnectionError

from chassis.retry import redriven_message
from chassis.topology import DEAD, EVENTS, JOURNAL, MONITORING_USER, RETRY_TIERS, dead_queue, inbox_queue, shop_topology
from chassis.transport import BrokerUnavailableError, Outcome
from chassis.transport.amqp import AmqpTransport
from tests.fixtures.broker import RabbitNode, RabbitVhost
from tests.support.messages import a_message, connected, live, publish_until_certain, receive
from tests.support.waiting import wait_until

pytestmark = pytest.mark.rabbit
RETRY = RETRY_TIERS[0].exchange


@pytest.fixture
async def order(rabbit_vhost: RabbitVhost) -> AsyncIterator[AmqpTransport]:
    transport = AmqpTransport(rabbit_vhost.url("order"), shop_topology(), service="order")
    await connected(transport)
    yield transport
    await transport.stop()


@pytest.fixture
async def channel(rabbit_vhost: RabbitVhost) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(rabbit_vhost.url("order"))
    yield await connection.channel(on_return_raises=True)
    await connection.close()


@pytest.mark.parametrize(
    ("exchange", "routing_key"),
    [(EVENTS, "order.placed.v1"), (RETRY, inbox_queue("order")), (DEAD, "order")],
)
async def test_a_service_may_publish(order: AmqpTransport, exchange: str, routing_key: str) -> None:
    [result] = await order.publish([a_message(exchange=exchange, routing_key=routing_key)])
    assert result.outcome is Outcome.ACK


@pytest.mark.parametrize(
    ("exchange", "routing_key"),
    [
        (EVENTS, "payment.captured.v1"),
        (EVENTS, "order"),
        (RETRY, inbox_queue("payment")),
        (DEAD, "payment"),
        ("", inbox_queue("order")),
        ("", inbox_queue("payment")),
        ("amq.topic", "order.placed.v1"),
    ],
)
async def test_a_service_may_not_publish(order: AmqpTransport, exchange: str, routing_key: str) -> None:
    [result] = await publish_until_certain(order, [a_message(exchange=exchange, routing_key=routing_key)])
    assert result.outcome is Outcome.NACKED
    assert "ACCESS_REFUSED" in result.reason


async def test_a_service_reads_its_own_queues(order: AmqpTransport) -> None:
    await order.publish([a_message(exchange=DEAD, routing_key="order")])
    assert len(await receive(await live(order, dead_queue("order")), 1)) == 1
    await live(order, inbox_queue("order"))


async def test_a_service_settles_its_own_dead_letters(order: AmqpTransport) -> None:
    """Look, send back by the shortest retry tier, take out: what the dead letter office needs and no more."""
    await order.publish([a_message(exchange=DEAD, routing_key="order", message_id="letter")])
    async with order.browse(dead_queue("order"), limit=10, max_bytes=1_000_000) as browse:
        [letter] = browse.held
        [result] = await order.publish([redriven_message("order", letter, "letter")])
        assert result.outcome is Outcome.ACK
        await browse.remove([letter])
    [back] = await receive(await live(order, inbox_queue("order")), 1)
    assert (back.message_id, back.headers["redrives"]) == ("letter", 1)
    async with order.browse(dead_queue("order"), limit=10, max_bytes=1_000_000) as browse:
        assert browse.held == []


async def test_a_service_may_not_look_at_the_dead_letters_of_another(order: AmqpTransport) -> None:
    with pytest.raises(BrokerUnavailableError, match="ACCESS_REFUSED"):
        async with order.browse(dead_queue("payment"), limit=1, max_bytes=1_000_000):
            pass


async def test_looking_leaves_no_connection_behind(order: AmqpTransport, rabbit: RabbitNode) -> None:
    async with order.browse(dead_queue("order"), limit=1, max_bytes=1_000_000):
        pass

    def connections() -> set[str]:
        """As the node itself has them: the management's list may keep one that was closed as soon as it was opened."""
        listed = rabbit.broker.ctl("list_connections", "user", "client_properties")
        return set(re.findall(r'^order\t.*"connection_name","([^"]+)"', listed, re.MULTILINE))

    await wait_until(lambda: asyncio.to_thread(lambda: connections() == {"order publisher"}), timeout=30)


async def forge_the_sender(channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(EVENTS, ensure=False)
    await exchange.publish(aio_pika.Message(b"", user_id="payment"), "order.placed.v1")


async def declare_a_queue(channel: AbstractChannel) -> None:
    await channel.declare_queue("order.extra", durable=True)


async def declare_an_exchange(channel: AbstractChannel) -> None:
    await channel.declare_exchange("shop.extra", "topic", durable=True)


async def bind_to_more_events(channel: AbstractChannel) -> None:
    queue = await channel.get_queue(inbox_queue("order"), ensure=False)
    await queue.bind(EVENTS, "#")


async def consume_from_another(channel: AbstractChannel) -> None:
    queue = await channel.get_queue(inbox_queue("payment"), ensure=False)
    await queue.get(fail=False)


async def read_the_journal(channel: AbstractChannel) -> None:
    await channel.set_qos(1)
    queue = await channel.get_queue(JOURNAL, ensure=False)

    async def ignore(_: object) -> None: ...

    await queue.consume(ignore)


async def purge_another(channel: AbstractChannel) -> None:
    queue = await channel.get_queue(dead_queue("payment"), ensure=False)
    await queue.purge()


async def delete_a_queue(channel: AbstractChannel) -> None:
    await channel.queue_delete(inbox_queue("order"))


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        (forge_the_sender, "user_id property set to 'payment'"),
        (declare_a_queue, "ACCESS_REFUSED"),
        (declare_an_exchange, "ACCESS_REFUSED"),
        (bind_to_more_events, "ACCESS_REFUSED"),
        (consume_from_another, "ACCESS_REFUSED"),
        (read_the_journal, "ACCESS_REFUSED"),
        (purge_another, "ACCESS_REFUSED"),
        (delete_a_queue, "ACCESS_REFUSED"),
    ],
)
async def test_a_service_may_not(
    channel: AbstractChannel, attempt: Callable[[AbstractChannel], Awaitable[None]], refusal: str
) -> None:
    with pytest.raises(AMQPChannelError, match=refusal):
        await attempt(channel)


async def test_nobody_is_guest(rabbit: RabbitNode, rabbit_vhost: RabbitVhost) -> None:
    with pytest.raises(AMQPConnectionError):
        await aio_pika.connect(rabbit.broker.amqp_url("guest", "guest"))
    with rabbit.management() as management:
        names = {user["name"] for user in management.get("users")}
    assert names == {"auth", "catalog", "order", "payment", "operator", "monitoring"}


async def test_every_message_shows_who_sent_it(
    order: AmqpTransport, rabbit: RabbitNode, rabbit_vhost: RabbitVhost
) -> None:
    await order.publish([a_message(exchange=DEAD, routing_key="order")])
    with rabbit.management(MONITORING_USER) as management:
        [message] = management.peek(rabbit_vhost.name, dead_queue("order"), 1)
    assert message["properties"]["user_id"] == "order"
