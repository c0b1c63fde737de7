"""Starting, stopping and ill-treating a private RabbitMQ node."""

import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ops.broker.files import NodeSettings, environment, write_files
from ops.broker.installation import find_installation
from ops.broker.ports import require_free
from ops.broker.processes import PidFile

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05
_AMQP_GREETING = b"AMQP\x00\x00\x09\x01"


class BrokerStartError(Exception):
    """The node did not come up; the message ends with the last lines of its log."""


class PrivateBroker:
    """One node in one folder. The folder keeps its queues across starts; a start ends what a crash left running.

    All methods block (a start takes about 8 s, a clean stop 6 s); call them from one thread at a time. A node of a
    `cluster` (see `NodeSettings`) uses the epmd its neighbours use, and leaves it to whoever started it.
    """

    def __init__(
        self,
        data_dir: Path,
        node_name: str,
        cluster: tuple[str, ...] = (),
        /,
        *,
        amqp_port: int,
        management_port: int,
        dist_port: int,
        epmd_port: int,
    ) -> None:
        self.settings = NodeSettings(
            data_dir.resolve(), node_name, amqp_port, management_port, dist_port, epmd_port, cluster
        )
        self._node = PidFile(self.settings.data_dir / "node.pid", str(self.settings.data_dir))
        self._epmd = PidFile(self.settings.data_dir / "epmd.pid", f"\0{epmd_port}\0")
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.management_port}"

    def amqp_url(self, user: str, password: str, vhost: str = "%2F") -> str:
        """The URL for one user; `vhost` is already percent-encoded."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.settings.amqp_port}/{vhost}"

    @property
    def pid(self) -> int | None:
        """The node's process id while it runs."""
        return self._node.pid()

    def start(self, definitions: Mapping[str, object]) -> float:
        """Start the node with these definitions loaded, wait until it serves, and say how many seconds that took.

        Raises:
            RabbitNotInstalledError: a program is missing.
            PortTakenError: one of the four ports is in use.
            BrokerStartError: the node ended or did not answer in time.
        """
        begun = time.monotonic()
        find_installation()
        self.stop()
        write_files(self.settings, definitions)
        self._launch()
        return time.monotonic() - begun

    def stop(self) -> None:
        """End the node cleanly, then its epmd; does nothing if neither runs."""
        self._node.end(grace=_STOP_SECONDS)
        self._epmd.end(grace=2.0)
        self._forget_children()

    def kill(self) -> None:
        """End the node as a power cut would (SIGKILL)."""
        self._node.send(signal.SIGCONT)
        self._node.send(signal.SIGKILL)
        self._node.wait_gone(10.0)

    def restart(self) -> float:
        """Start again from the same files after `kill` or `stop`; how many seconds it took."""
        begun = time.monotonic()
        self.stop()
        self._launch()
        return time.monotonic() - begun

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): connections stay open, nothing answers."""
        self._node.freeze()

    def resume(self) -> None:
        """Let a paused node go on."""
        self._node.send(signal.SIGCONT)

    def memory_alarm(self, on: bool) -> None:
        """Raise or clear the memory alarm, by moving the watermark."""
        self.ctl("set_vm_memory_high_watermark", "0.0000001" if on else "0.4")

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node; its output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = [str(find_installation().ctl), "--quiet", *arguments]
        done = subprocess.run(  # noqa: S603 - our own node's tool, arguments from our own code
            command, env=environment(self.settings), capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def log_tail(self, lines: int = 15) -> str:
        """The end of the node's log and of what it printed."""
        texts = (file.read_text(errors="replace") for file in self._logs() if file.exists())
        return "\n".join(line for text in texts for line in text.splitlines()[-lines:])

    def _logs(self) -> tuple[Path, Path]:
        return self.settings.console_file, self.settings.log_file

    def _launch(self) -> None:
        settings = self.settings
        alone = not settings.cluster
        if alone:
            require_free(settings.epmd_port, "the broker's epmd")
        for port, purpose in (
            (settings.dist_port, "the broker's distribution"),
            (settings.amqp_port, "AMQP"),
            (settings.management_port, "the broker's management UI"),
        ):
            require_free(port, purpose)
        programs = find_installation()
        if alone:
            epmd = self._spawn([programs.epmd, "-port", str(settings.epmd_port), "-address", "127.0.0.1"], None)
            self._epmd.write(epmd.pid)
        node = self._spawn([programs.server], settings.console_file)
        self._node.write(node.pid)
        try:
            self._wait_ready(node)
        except BrokerStartError:
            self.stop()
            raise

    def _spawn(self, command: list[Path | str], output: Path | None) -> "subprocess.Popen[bytes]":
        """Start a program in a session of its own: a Ctrl-C in our terminal is for us, not for the broker."""
        with open(output or "/dev/null", "wb") as sink:
            child = subprocess.Popen(  # noqa: S603 - programs of the installation, arguments from our own code
                command,
                env=environment(self.settings),
                cwd=self.settings.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def _forget_children(self) -> None:
        """Collect the exit of those that ended; without this Python complains about each of them."""
        self._children = [child for child in self._children if child.poll() is None]

    def _wait_ready(self, node: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._serves():
            if node.poll() is not None:
                raise BrokerStartError(f"RabbitMQ ended with status {node.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerStartError(f"RabbitMQ did not answer within {_START_SECONDS:.0f} s:\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def _serves(self) -> bool:
        """Whether the node answers AMQP's greeting; it opens that port last, after loading the definitions."""
        try:
            with socket.create_connection(("127.0.0.1", self.settings.amqp_port), timeout=1.0) as connection:
                connection.sendall(_AMQP_GREETING)
                return bool(connection.recv(1))
        except OSError:
            return False
