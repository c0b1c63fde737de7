"""Applying the topology over AMQP (the deploy step) and checking, without any right to change it, that it is there."""

import asyncio

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPChannelError

from chassis.topology import Topology
from chassis.transport.amqp.link import describe, open_link

_CHECK_SECONDS = 20
_APPLY_SECONDS = 60


class TopologyError(Exception):
    """What is on the broker is not what we need; one sentence that names the thing and the difference."""


async def apply_topology(url: str, topology: Topology) -> None:
    """Declare everything. What is there already, with the same arguments, stays as it is, messages included.

    Raises:
        TopologyError: something exists with other arguments, or the user may not declare.
    """
    async with open_link(url, "topology") as link, asyncio.timeout(_APPLY_SECONDS):
        channel = await link.connection.channel()
        for exchange in topology.exchanges:
            await _declare_exchange(channel, exchange.name, exchange.kind)
        for queue in topology.queues:
            await _declare_queue(channel, queue.name, dict(queue.arguments))
        for binding in topology.bindings:
            bound = await channel.get_queue(binding.queue, ensure=False)
            await bound.bind(binding.exchange, binding.routing_key)


async def topology_problem(connection: AbstractConnection, topology: Topology) -> str | None:
    """The first exchange or queue that is missing, as a sentence; None if all are there.

    Raises:
        TimeoutError: the broker does not answer.
    """
    async with asyncio.timeout(_CHECK_SECONDS):
        return await _first_problem(connection, topology)


async def _first_problem(connection: AbstractConnection, topology: Topology) -> str | None:
    channel = await connection.channel()
    for exchange in topology.exchanges:
        try:
            await channel.declare_exchange(exchange.name, passive=True)
        except AMQPChannelError as error:
            return _missing("exchange", exchange.name, error)
    for queue in topology.queues:
        try:
            await channel.declare_queue(queue.name, passive=True)
        except AMQPChannelError as error:
            return _missing("queue", queue.name, error)
    await channel.close()
    return None


def missing_queue(name: str, error: AMQPChannelError) -> str:
    """Why a queue cannot be consumed."""
    return _missing("queue", name, error)


def _missing(kind: str, name: str, error: AMQPChannelError) -> str:
    return f"the broker's {kind} '{name}' cannot be used, apply the topology: {describe(error)}"


async def _declare_exchange(channel: AbstractChannel, name: str, kind: str) -> None:
    try:
        await channel.declare_exchange(name, kind, durable=True)
    except AMQPChannelError as error:
        raise TopologyError(f"exchange '{name}' cannot be declared: {describe(error)}") from error


async def _declare_queue(channel: AbstractChannel, name: str, arguments: dict[str, str | int]) -> None:
    try:
        await channel.declare_queue(name, durable=True, arguments={**arguments})
    except AMQPChannelError as error:
        raise TopologyError(f"queue '{name}' cannot be declared: {describe(error)}") from error
