"""RabbitMQ behind the transport port, by aio-pika's plain connections under our own supervision."""

from chassis.transport.amqp.journal import (
    JournalUnavailableError,
    follow_journal,
    journal_end,
    journal_until,
    read_journal,
)
from chassis.transport.amqp.topology import TopologyError, apply_topology, topology_problem
from chassis.transport.amqp.transport import AmqpTransport

__all__ = [
    "AmqpTransport",
    "JournalUnavailableError",
    "TopologyError",
    "apply_topology",
    "follow_journal",
    "journal_end",
    "journal_until",
    "read_journal",
    "topology_problem",
]
