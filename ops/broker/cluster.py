"""A private RabbitMQ cluster on one machine: nodes with ports and folders of their own, one epmd, one cookie."""

import json
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ops.broker.files import write_cookie
from ops.broker.installation import find_installation
from ops.broker.node import PrivateBroker
from ops.broker.ports import free_port
from ops.broker.processes import PidFile

_FORM_SECONDS = 60.0
_POLL_SECONDS = 0.5


class PrivateCluster:
    """Nodes that make one broker. Any may be killed and restarted; queues live on as long as more than half are there.

    All methods block.
    """

    def __init__(self, folder: Path, name: str, size: int = 3) -> None:
        self._folder = folder.resolve()
        self._epmd_port = free_port()
        self._epmd = PidFile(self._folder / "epmd.pid", f"\0{self._epmd_port}\0")
        self._child: subprocess.Popen[bytes] | None = None
        names = [f"{name}-{number}" for number in range(1, size + 1)]
        self.nodes: Sequence[PrivateBroker] = [
            PrivateBroker(
                self._folder / node,
                node,
                tuple(f"{name}@localhost" for name in names),
                amqp_port=free_port(),
                management_port=free_port(),
                dist_port=free_port(),
                epmd_port=self._epmd_port,
            )
            for node in names
        ]

    def node(self, full_name: str) -> PrivateBroker:
        """The node RabbitMQ calls so."""
        return next(node for node in self.nodes if node.settings.full_name == full_name)

    @property
    def running(self) -> list[PrivateBroker]:
        return [node for node in self.nodes if node.pid is not None]

    def amqp_url(self, user: str, password: str, vhost: str = "%2F") -> str:
        """All nodes' addresses, with commas between; see `PrivateBroker.amqp_url`."""
        return ",".join(node.amqp_url(user, password, vhost) for node in self.nodes)

    def start(self, definitions: Mapping[str, object]) -> float:
        """Start all nodes, wait until they are one cluster, and say how many seconds that took.

        Give `definitions` without queues: one that is declared by the first node to come up has one copy only.

        Raises:
            BrokerStartError: a node did not come up.
            TimeoutError: they did not find each other.
        """
        begun = time.monotonic()
        self._start_epmd()
        cookie = secrets.token_hex(20)
        for node in self.nodes:
            write_cookie(node.settings, cookie)
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.start(definitions), self.nodes))
        self._wait_formed()
        return time.monotonic() - begun

    def stop(self) -> None:
        """Kill every node (there is nothing to keep), then their epmd."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.stop()
        self._epmd.end(grace=2.0)
        if self._child is not None:
            self._child.wait()  # it was collected already: without this Python complains that nobody did

    def _start_epmd(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [str(find_installation().epmd), "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._child = subprocess.Popen(  # noqa: S603 - a program of the installation
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._epmd.write(self._child.pid)

    def _wait_formed(self) -> None:
        deadline = time.monotonic() + _FORM_SECONDS
        while self._known_to_first() != set(self.nodes[0].settings.cluster):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nodes are no cluster: {sorted(self._known_to_first())}")
            time.sleep(_POLL_SECONDS)

    def _known_to_first(self) -> set[str]:
        status = json.loads(self.nodes[0].ctl("cluster_status", "--formatter", "json"))
        return set(status["running_nodes"])
