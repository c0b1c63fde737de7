"""The broker's definitions file: topology, users and rights as RabbitMQ loads them at boot (3.10 and 4 alike).

`python -m ops.definitions PASSWORDS.json > definitions.json` makes one for a broker that is not ours to start;
PASSWORDS.json maps each user to a password, which the result holds as a salted hash only.
"""

import base64
import hashlib
import json
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chassis.topology import VHOST, Rights, Topology, shop_rights, shop_topology

Definitions = dict[str, Any]


def shop_definitions(passwords: Mapping[str, str]) -> Definitions:
    """Everything the shop needs on a broker: users with their rights, exchanges, queues and bindings.

    Raises:
        ValueError: a user has no password.
    """
    return {"users": [_user(entry, passwords) for entry in shop_rights()], **vhost_definitions(VHOST)}


def vhost_definitions(vhost: str) -> Definitions:
    """One virtual host with the shop in it, for users that exist already."""
    return {
        "vhosts": [{"name": vhost}],
        **rights_definitions(shop_rights(), vhost),
        **topology_definitions(shop_topology(), vhost),
    }


def topology_definitions(topology: Topology, vhost: str) -> Definitions:
    """The exchanges, queues and bindings, in one virtual host."""
    return {
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.kind,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in topology.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": dict(queue.arguments),
            }
            for queue in topology.queues
        ],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.routing_key,
                "arguments": {},
            }
            for binding in topology.bindings
        ],
    }


def missing_bindings(bindings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Bindings of the shop that are not among these of the management API, one sentence each.

    No service can see this: an event that one reader has no binding for is confirmed, because the journal takes it.
    """
    there = {(row["source"], row["destination"], row["routing_key"]) for row in bindings}
    return [
        f"{wanted.queue} does not get '{wanted.routing_key}' of {wanted.exchange}"
        for wanted in shop_topology().bindings
        if (wanted.exchange, wanted.queue, wanted.routing_key) not in there
    ]


def rights_definitions(rights: Sequence[Rights], vhost: str) -> Definitions:
    """What each user may do in one virtual host."""
    return {
        "permissions": [
            {
                "user": entry.user,
                "vhost": vhost,
                "configure": entry.configure,
                "write": entry.write,
                "read": entry.read,
            }
            for entry in rights
        ],
        "topic_permissions": [
            {
                "user": entry.user,
                "vhost": vhost,
                "exchange": topic.exchange,
                "write": topic.write,
                "read": "^$",
            }
            for entry in rights
            for topic in entry.topics
        ],
    }


def hash_password(password: str) -> str:
    """RabbitMQ's salted SHA-256: base64 of four bytes of salt and the digest of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _user(rights: Rights, passwords: Mapping[str, str]) -> Definitions:
    password = passwords.get(rights.user)
    if not password:
        raise ValueError(f"no password for the broker's user '{rights.user}'")
    return {
        "name": rights.user,
        "password_hash": hash_password(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(rights.tags),
    }


def main() -> None:
    """Write the definitions for the passwords in the file named on the command line to standard output."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ops.definitions PASSWORDS.json > definitions.json")
    passwords = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(json.dumps(shop_definitions(passwords), indent=2) + "\n")


if __name__ == "__main__":
    main()
