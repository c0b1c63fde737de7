"""One protocol to talk to a broker, with two adapters: RabbitMQ (`amqp`) and this process's memory (`memory`)."""

from chassis.transport.base import (
    BrokerUnavailableError,
    Browse,
    Delivery,
    Outcome,
    OutgoingMessage,
    PublishResult,
    QueueDepth,
    Subscription,
    SubscriptionClosedError,
    Transport,
    TransportHealth,
)

__all__ = [
    "BrokerUnavailableError",
    "Browse",
    "Delivery",
    "Outcome",
    "OutgoingMessage",
    "PublishResult",
    "QueueDepth",
    "Subscription",
    "SubscriptionClosedError",
    "Transport",
    "TransportHealth",
]
