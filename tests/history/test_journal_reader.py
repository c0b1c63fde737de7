"""The journal is read to its present end whatever goes on, and through a broker that dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from chassis.topology import shop_topology
from chassis.transport import Transport
from chassis.transport.amqp import (
    AmqpTransport,
    JournalUnavailableError,
    follow_journal,
    journal_end,
    journal_until,
)
from tests.fixtures.broker import RabbitVhost
from tests.support.messages import a_message, connected, publish_until_certain

pytestmark = pytest.mark.rabbit


@asynccontextmanager
async def publisher(vhost: RabbitVhost) -> AsyncIterator[Transport]:
    transport = AmqpTransport(vhost.url(), shop_topology(), service="operator")
    try:
        yield await connected(transport)
    finally:
        await transport.stop()


async def bodies(url: str, end: int, offset: int | str | datetime = "first") -> list[bytes]:
    async with aclosing(journal_until(url, end, offset)) as deliveries:
        return [delivery.body async for delivery in deliveries]


async def test_the_end_is_told_while_events_keep_coming(rabbit_vhost: RabbitVhost) -> None:
    """On a busy shop there is never a silence to wait for."""
    async with publisher(rabbit_vhost) as transport:
        await transport.publish([a_message()])

        async def keep_publishing() -> None:
            while True:
                await transport.publish([a_message()])

        busy = asyncio.create_task(keep_publishing())
        async with asyncio.timeout(20):
            assert await journal_end(rabbit_vhost.url()) is not None
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def test_from_a_time_after_the_last_event_there_is_nothing_and_it_says_so(rabbit_vhost: RabbitVhost) -> None:
    async with publisher(rabbit_vhost) as transport:
        await transport.publish([a_message()])
        end = await journal_end(rabbit_vhost.url())
        assert end == 0, "the first event ever has the offset 0: a journal that begins later was trimmed"
        assert await bodies(rabbit_vhost.url(), end, datetime.now(UTC) + timedelta(hours=1)) == []


async def test_a_broker_that_is_not_there_and_a_right_that_is_missing_are_said(rabbit_vhost: RabbitVhost) -> None:
    for url in ("amqp://nobody:nothing@127.0.0.1:1/", rabbit_vhost.url("order")):
        with pytest.raises(JournalUnavailableError, match="cannot be read"):
            await journal_end(url)
        with pytest.raises(JournalUnavailableError, match="cannot be read"):
            await bodies(url, 0)


async def test_reading_goes_on_where_it_was_when_the_broker_was_killed(rabbit_vhost: RabbitVhost) -> None:
    """None twice, none missed, those published afterwards included."""
    broker = rabbit_vhost.node.broker
    sent = [a_message(body=f"event {number}".encode()) for number in range(3_000)]
    read: list[bytes] = []
    async with publisher(rabbit_vhost) as transport:
        await publish_until_certain(transport, sent[:2_500])
        rabbit_vhost.make_durable()
        async with aclosing(follow_journal(rabbit_vhost.url("monitoring"))) as deliveries:
            async for delivery in deliveries:
                read.append(delivery.body)
                if len(read) == 700:
                    await asyncio.to_thread(broker.kill)
                    await asyncio.to_thread(broker.restart)
                    await connected(transport)
                    await publish_until_certain(transport, sent[2_500:])
                if delivery.body == sent[-1].body:
                    break
    assert len(read) == len(set(read))
    assert set(read) == {message.body for message in sent}
    assert read[:2_500] == [message.body for message in sent[:2_500]]
