"""The journal holds every event ever published and can be read from any point on."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from chassis.topology import DEAD, shop_topology
from chassis.transport import Delivery
from chassis.transport.amqp import AmqpTransport, journal_end, read_journal
from tests.fixtures.broker import RabbitVhost
from tests.support.messages import a_message, connected

pytestmark = pytest.mark.rabbit


@pytest.fixture
async def url(rabbit_vhost: RabbitVhost) -> AsyncIterator[str]:
    transport = AmqpTransport(rabbit_vhost.url(), shop_topology(), service="operator")
    await connected(transport)
    await transport.publish([a_message(body=f"event {number}".encode()) for number in range(250)])
    await transport.publish([a_message(exchange=DEAD, routing_key="order")])
    yield rabbit_vhost.url()
    await transport.stop()


async def read(url: str, offset: int | str, until: int) -> list[Delivery]:
    read: list[Delivery] = []
    async with aclosing(read_journal(url, offset)) as journal:
        async for delivery in journal:
            read.append(delivery)
            if (delivery.stream_offset or 0) >= until:
                break
    return read


async def test_all_events_in_order_then_any_tail_of_them(url: str) -> None:
    end = await journal_end(url)
    assert end is not None
    everything = await read(url, "first", end)
    assert [delivery.body for delivery in everything] == [f"event {number}".encode() for number in range(250)]
    middle = everything[100].stream_offset
    assert middle is not None
    assert [delivery.body for delivery in await read(url, middle, end)] == [d.body for d in everything[100:]]


async def test_an_empty_journal_has_no_end(rabbit_vhost: RabbitVhost) -> None:
    assert await journal_end(rabbit_vhost.url()) is None
