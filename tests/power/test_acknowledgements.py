"""The broker is told that an event was handled when the disk has it, and not before."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from chassis.clock import SystemClock
from chassis.topology import EVENTS, shop_topology
from chassis.transport import Outcome, OutgoingMessage
from chassis.transport.amqp import AmqpTransport
from contracts.envelope import Envelope, encode
from contracts.order import OrderCancelled
from tests.fixtures.broker import RabbitVhost
from tests.power.conftest import Lone
from tests.power.disk import Disk, lay_out
from tests.power.trace import Send, read_trace
from tests.support.messages import connected
from tests.support.waiting import wait_until

BURSTS: Final = (1, 1, 10, 1, 60, 1)
ACK: Final = re.compile(rb"\x01..\x00\x00\x00\x0d\x00\x3c\x00\x50(.{8})([\x00\x01])\xce", re.DOTALL)
"""AMQP's `basic.ack`: frame, channel, size, class 60, method 80, delivery tag, multiple."""

pytestmark = [pytest.mark.strace, pytest.mark.rabbit]


async def test_an_event_is_acknowledged_after_its_inbox_row_is_synced(
    lone: Lone, rabbit_vhost: RabbitVhost, tmp_path: Path
) -> None:
    catalog = lone("catalog", amqp_url=rabbit_vhost.url("catalog"))
    catalog.migrate()
    disk = Disk.of(catalog.store.parent)
    await catalog.start()
    transport = await connected(AmqpTransport(rabbit_vhost.url(), shop_topology(), service="operator"))
    handled = 0
    for burst in BURSTS:
        results = await transport.publish([a_cancellation() for _ in range(burst)])
        assert {result.outcome for result in results} == {Outcome.ACK}
        handled += burst
        await wait_until(lambda wanted=handled: inbox_rows(catalog.store) == wanted)  # type: ignore[misc] # binds the loop's value
    await transport.stop()
    assert await catalog.stop() == 0

    acknowledged: set[int] = set()
    image = tmp_path / "image"
    image.mkdir()
    for event in read_trace(catalog.traces[-1]):
        disk.see(event)
        if isinstance(event, Send) and event.socket.endswith(f":{rabbit_vhost.node.broker.settings.amqp_port}]"):
            for tag, multiple in ACK.findall(event.data):
                number = int.from_bytes(tag, "big")
                acknowledged.update(range(1, number + 1) if multiple == b"\x01" else [number])
                lay_out(disk.synced(), image)
                assert inbox_rows(image / disk.store) >= len(acknowledged)
    assert len(acknowledged) == handled


def a_cancellation() -> OutgoingMessage:
    event = OrderCancelled(order_id=uuid4(), reason="customer")
    envelope = Envelope(
        id=uuid4(),
        source="/order",
        type=event.wire_name,
        subject=event.subject,
        time=SystemClock().now(),
        correlationid=event.order_id,
        aggregateversion=1,
        data=event.model_dump(mode="json"),
    )
    return OutgoingMessage(EVENTS, event.wire_name, encode(envelope), str(envelope.id), type=event.wire_name)


def inbox_rows(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM inbox").fetchone()[0])
