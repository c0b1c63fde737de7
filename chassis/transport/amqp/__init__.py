"""RabbitMQ behind the transport port, by aio-pika's plain connections under our own supervision."""

from chassis.transport.amqp.journal import journal_end, read_journal
from chassis.transport.amqp.topology import TopologyError, apply_topology, topology_problem
from chassis.transport.amqp.transport import AmqpTransport

__all__ = ["AmqpTransport", "TopologyError", "apply_topology", "journal_end", "read_journal", "topology_problem"]
