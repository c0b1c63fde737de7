"""A private RabbitMQ node from the installed binaries: own name, ports, folder and epmd, on the loopback only."""

from ops.broker.installation import Installation, RabbitNotInstalledError, find_installation
from ops.broker.management import ManagementApi, ManagementError
from ops.broker.node import BrokerStartError, PrivateBroker
from ops.broker.ports import PortTakenError, free_port

__all__ = [
    "BrokerStartError",
    "Installation",
    "ManagementApi",
    "ManagementError",
    "PortTakenError",
    "PrivateBroker",
    "RabbitNotInstalledError",
    "find_installation",
    "free_port",
]
