"""One broker with several nodes: whichever answers is taken."""

import asyncio
import gc
import warnings

import pytest

from chassis.topology import shop_topology
from chassis.transport import Outcome
from chassis.transport.amqp import AmqpTransport
from chassis.transport.amqp.link import addresses, open_link
from ops.broker import free_port
from tests.fixtures.broker import RabbitVhost
from tests.support.messages import a_message, connected


def test_one_address_or_several_with_commas_between() -> None:
    nodes = addresses("amqp://u:p,q@a:1/v, amqps://u:p%2Cq@b:2/v")
    assert [(node.scheme, node.password, node.host, node.port) for node in nodes] == [
        ("amqp", "p,q", "a", 1),
        ("amqps", "p,q", "b", 2),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "amqp://u:p@/",
        "amqp://u:p@a/,amqp://other:p@b/",
        "amqp://u:p@a/,amqp://u:q@b/",
        "amqp://u@a/v,amqp://u@b/w",
    ],
)
def test_addresses_that_are_not_one_broker_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="AMQP address"):
        addresses(url)


async def test_when_no_node_answers_that_is_the_error() -> None:
    with pytest.raises(Exception, match="Connect"):
        async with open_link(",".join(f"amqp://u:p@127.0.0.1:{free_port()}/" for _ in range(3)), "test"):
            pass


async def test_a_connection_that_failed_leaves_nothing_to_close(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "aiormq")  # a log entry would keep the error until the test's end
    errors: list[BaseException] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            async with open_link(f"amqp://u:p@127.0.0.1:{free_port()}/", "test"):
                pass
        except Exception as error:
            errors.append(error)  # keeps the connection, through its traceback, for the thread to let go
        assert errors
        await asyncio.to_thread(errors.clear)  # a thread has no loop to close anything in
        await asyncio.to_thread(gc.collect)
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.rabbit
async def test_nodes_that_are_gone_are_passed_over(rabbit_vhost: RabbitVhost) -> None:
    alive, port = rabbit_vhost.url("order"), rabbit_vhost.node.broker.settings.amqp_port
    gone = [alive.replace(f":{port}/", f":{free_port()}/") for _ in range(3)]
    transport = AmqpTransport(",".join([*gone, alive]), shop_topology(), service="order")
    try:
        await connected(transport)
        [result] = await transport.publish([a_message(routing_key="order.placed.v1")])
        assert result.outcome is Outcome.ACK
        assert transport.health().reconnects == 0
    finally:
        await transport.stop()
