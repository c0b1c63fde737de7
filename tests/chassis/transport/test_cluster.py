"""A broker of three nodes: queues have a copy on each, and the one that leads an inbox may die under it."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.topology import JOURNAL, inbox_queue, shop_topology
from chassis.transport import Outcome, SubscriptionClosedError, Transport
from chassis.transport.amqp import AmqpTransport
from ops.definitions import vhost_definitions
from tests.fixtures.broker import RabbitCluster, RabbitVhost, private_cluster_of_nodes
from tests.support.messages import a_message, connected, live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.rabbit, pytest.mark.timeout(240)]

INBOX = inbox_queue("order")


@pytest.fixture
def cluster(rabbit: object) -> Iterator[RabbitCluster]:
    """`rabbit` says what is done where RabbitMQ is not installed."""
    with (
        tempfile.TemporaryDirectory(prefix="orderflow-cluster-") as folder,
        private_cluster_of_nodes(Path(folder)) as c,
    ):
        yield c


async def test_messages_go_on_when_the_node_that_leads_the_inbox_is_killed(cluster: RabbitCluster) -> None:
    vhost = RabbitVhost(cluster, "shop")
    with cluster.management() as management:
        management.load_definitions(vhost_definitions(vhost.name))
    await wait_until(lambda: all(len(members(vhost, queue)) == 3 for queue in (INBOX, JOURNAL)), timeout=30)
    publishing, consuming = (AmqpTransport(vhost.url(), shop_topology(), service="order") for _ in range(2))
    try:
        await connected(publishing)
        await connected(consuming)
        received: set[str] = set()
        reading = asyncio.create_task(read(consuming, received))
        sent = await publish(publishing, 50)
        leader = cluster.cluster.node(led_by(vhost, INBOX))
        await asyncio.to_thread(leader.kill)
        sent |= await publish(publishing, 50)  # with one node missing
        await wait_until(lambda: received >= sent, timeout=90, message="nothing comes while a node is missing")
        await asyncio.to_thread(leader.restart)
        sent |= await publish(publishing, 50)
        await wait_until(lambda: received >= sent, timeout=60)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    finally:
        await publishing.stop()
        await consuming.stop()


async def publish(transport: Transport, number: int) -> set[str]:
    """Publish as a relay does: again and again what the broker has not confirmed; the ids."""
    waiting = {message.message_id: message for message in (a_message() for _ in range(number))}
    sent = set(waiting)

    async def all_confirmed() -> bool:
        messages = list(waiting.values())
        for message, result in zip(messages, await transport.publish(messages), strict=True):
            if result.outcome is Outcome.ACK:
                del waiting[message.message_id]
        return not waiting

    await wait_until(all_confirmed, timeout=90, message="the broker confirms nothing")
    return sent


async def read(transport: Transport, into: set[str]) -> None:
    while True:
        subscription = await live(transport, INBOX, prefetch=50)
        try:
            while True:
                deliveries = await subscription.receive(50)
                into.update(str(delivery.message_id) for delivery in deliveries)
                await subscription.ack(deliveries)
        except SubscriptionClosedError:
            continue


def members(vhost: RabbitVhost, queue: str) -> list[str]:
    with vhost.node.management() as management:
        [found] = [entry for entry in management.queues(vhost.name) if entry["name"] == queue]
        return list(found.get("members", []))


def led_by(vhost: RabbitVhost, queue: str) -> str:
    with vhost.node.management() as management:
        [found] = [entry for entry in management.queues(vhost.name) if entry["name"] == queue]
        return str(found["leader"])
