"""Filling queues before a round: persistent events, published by hundreds, each confirmed."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Final

import aio_pika
from aio_pika.abc import AbstractExchange

from contracts.envelope import Envelope, encode

AT_ONCE: Final = 500


def persistent(envelope: Envelope) -> aio_pika.Message:
    """An event as a message that survives the broker."""
    return aio_pika.Message(
        encode(envelope),
        message_id=str(envelope.id),
        type=envelope.type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


async def publish_all(exchange: AbstractExchange, messages: Iterable[tuple[aio_pika.Message, str]]) -> None:
    """Publish each with its routing key; returns when the broker has confirmed all."""
    left = iter(messages)
    while some := list(islice(left, AT_ONCE)):
        await asyncio.gather(*(exchange.publish(message, key) for message, key in some))
