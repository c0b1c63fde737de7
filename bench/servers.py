"""A private RabbitMQ node for the benchmark, and a virtual host of its own for each contestant."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.durability import NotDurableError
from bench.ports import free_ports
from chassis.topology import OPERATOR_USER, shop_rights
from ops.broker import ManagementApi, PrivateBroker
from ops.definitions import shop_definitions, vhost_definitions


@dataclass(frozen=True)
class Node:
    """A running node and its users' passwords."""

    broker: PrivateBroker
    passwords: dict[str, str]

    def management(self) -> ManagementApi:
        return ManagementApi(self.broker.management_url, OPERATOR_USER, self.passwords[OPERATOR_USER])

    def new_vhost(self) -> str:
        """The URL of a fresh virtual host with the shop's whole topology.

        Raises:
            NotDurableError: its inbox is no quorum queue.
        """
        name = f"bench-{secrets.token_hex(4)}"
        with self.management() as management:
            management.load_definitions(vhost_definitions(name))
            inbox = management.get(f"queues/{name}/order.inbox")
        if inbox["arguments"].get("x-queue-type") != "quorum" or not inbox["durable"]:
            raise NotDurableError("the inbox is not a durable quorum queue")
        return self.broker.amqp_url(OPERATOR_USER, self.passwords[OPERATOR_USER], quote(name, safe=""))


@contextmanager
def private_node(folder: Path) -> Iterator[Node]:
    """A node of one's own on free ports, ended afterwards."""
    passwords = {rights.user: secrets.token_hex(8) for rights in shop_rights()}
    names = ("amqp", "management", "dist", "epmd")
    ports = {f"{name}_port": port for name, port in zip(names, free_ports(len(names)), strict=True)}
    broker = PrivateBroker(folder, f"bench-{secrets.token_hex(4)}", **ports)
    try:
        broker.start(shop_definitions(passwords))
        yield Node(broker, passwords)
    finally:
        broker.kill()
        broker.stop()
