"""A private RabbitMQ node or cluster from the installed binaries: own names, ports, folder and epmd, loopback only."""

from ops.broker.cluster import PrivateCluster
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
    "PrivateCluster",
    "RabbitNotInstalledError",
    "find_installation",
    "free_port",
]
