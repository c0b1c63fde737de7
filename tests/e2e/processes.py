"""The real processes of four services on a real broker, which a test may stop, kill and start again."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import httpx

from chassis.failpoints import Failpoints
from ops.broker import ManagementApi, free_port
from ops.config import SERVICES
from tests.fixtures.broker import RabbitVhost

READY_SECONDS: Final = 60.0
OPERATOR: Final = ("operator@shop.example", secrets.token_urlsafe(12))


def service_of(process: str) -> str:
    """Whose process it is: `order` for `order` and `order.2`."""
    return process.partition(".")[0]


class ShopProcesses:
    """The services of one shop; each has its own store and broker user, and each of its processes its own port.

    A process is called by its service, and from the second one on with a number: `order`, `order.2`.
    `extra` goes into everyone's environment, `stores` are URLs of empty databases; without them each store is a file.
    """

    def __init__(
        self,
        folder: Path,
        vhost: RabbitVhost,
        extra: Mapping[str, str] | None = None,
        stores: Mapping[str, str] | None = None,
        *,
        replicas: int = 1,
    ) -> None:
        self.folder = folder
        self.vhost = vhost
        self.stores = stores or {service: f"sqlite+aiosqlite:///{folder / service}.db" for service in SERVICES}
        numbers = ["", *(f".{number}" for number in range(2, replicas + 1))]
        self.ports = {f"{service}{number}": free_port() for number in numbers for service in SERVICES}
        self._extra = dict(extra or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    def url(self, process: str) -> str:
        return f"http://127.0.0.1:{self.ports[process]}"

    def replicas(self, service: str) -> list[str]:
        """The processes of a service."""
        return [process for process in self.ports if service_of(process) == service]

    def management(self) -> ManagementApi:
        return self.vhost.node.management()

    def migrate(self) -> None:
        running = [(service, self._spawn(service, "migrate")) for service in SERVICES]
        for service, child in running:
            assert child.wait(60) == 0, self.log(service)

    def rebuild(self, service: str) -> "subprocess.CompletedProcess[str]":
        """The service's own command, beside the running service: its report as JSON on standard output."""
        journal = {"JOURNAL_URL": self.vhost.url("monitoring")}
        return subprocess.run(  # noqa: S603 - our own service
            [sys.executable, "-m", f"{service}_svc", "rebuild", "--json"],
            env={**os.environ, **self._environment(service), **journal},
            capture_output=True,
            text=True,
            timeout=READY_SECONDS,
            check=False,
        )

    def start(self, *processes: str, failpoint: str = "") -> None:
        """Start processes (all, if none is named) and return when they answer; they may not be ready yet."""
        for process in processes or self.ports:
            self.launch(process, failpoint=failpoint)
        for process in processes or self.ports:
            self._wait(process, "/healthz")

    def launch(
        self, process: str, *, failpoint: str = "", module: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        """Start one process and do not wait for it: it may be meant to die on the way.

        `module` is another program that takes its place.
        """
        self._aim(process, failpoint)
        self._processes[process] = self._spawn(process, "serve", module, extra)

    def ended(self, process: str) -> bool:
        """Whether the process has ended by itself."""
        return self._processes[process].poll() is not None

    def arm(self, process: str, failpoint: str) -> None:
        """Arm a running process anew; hits count, and its trace begins, from here."""
        self._aim(process, failpoint)
        self._processes[process].send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + READY_SECONDS
        while f"{service_of(process)}.armed" not in self.trace(process):
            assert time.monotonic() < deadline, self.log(process)
            time.sleep(0.005)  # blocking on purpose: nothing else of the test may happen in between

    def trace(self, process: str) -> list[str]:
        """The failpoints it passed since it was started or armed, and those that struck."""
        return self._trace_file(process).read_text().splitlines()

    def wait_ready(self, *processes: str) -> None:
        """Until these (or all) say that nothing keeps them from working."""
        for process in processes or self.ports:
            self._wait(process, "/readyz")

    def stop(self, process: str, *, within: float = 20.0) -> int:
        """SIGTERM, and the exit status; an error if it takes more than `within` seconds."""
        return self._end(process, signal.SIGTERM, within)

    def kill(self, process: str) -> None:
        self._end(process, signal.SIGKILL)

    def wait_dead(self, process: str) -> int:
        """Until the process has ended by itself (a failpoint); its exit status, minus the signal."""
        return self._processes.pop(process).wait(READY_SECONDS)

    def send(self, process: str, number: signal.Signals) -> None:
        """A signal, if the process runs."""
        child = self._processes.get(process)
        if child is not None and child.poll() is None:
            child.send_signal(number)

    def pid(self, process: str) -> int:
        return self._processes[process].pid

    def running(self, process: str) -> bool:
        return process in self._processes

    def close(self) -> None:
        for process in list(self._processes):
            self.send(process, signal.SIGCONT)
            self.stop(process)
        for log in self._logs:
            log.close()

    def log(self, process: str) -> str:
        """The end of what a process printed."""
        return (self.folder / f"{process}.log").read_text(errors="replace")[-4000:]

    def _aim(self, process: str, failpoint: str) -> None:
        Failpoints(service_of(process), failpoint)  # a misspelt one would only be refused in the service's log
        (self.folder / f"{process}.failpoint").write_text(failpoint)
        self._trace_file(process).write_text("")

    def _trace_file(self, process: str) -> Path:
        return self.folder / f"{process}.trace"

    def _spawn(
        self, process: str, command: str, module: str = "", extra: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{process}.log").open("ab")
        self._logs.append(log)
        return subprocess.Popen(  # noqa: S603 - our own service
            [sys.executable, "-m", module or f"{service_of(process)}_svc", command],
            env={**os.environ, **self._environment(process), **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _environment(self, process: str) -> dict[str, str]:
        service = service_of(process)
        prefix = service.upper()
        email, password = OPERATOR
        return {
            f"{prefix}_DATABASE_URL": self.stores[service],
            f"{prefix}_PORT": str(self.ports[process]),
            f"{prefix}_AMQP_URL": self.vhost.url(service),
            "AUTH_OPERATOR_EMAIL": email,
            "AUTH_OPERATOR_PASSWORD": password,
            "LOG_FORMAT": "json",
            "FAILPOINT": f"@{self.folder / process}.failpoint",
            "FAILPOINT_TRACE": str(self._trace_file(process)),
            **self._extra,
        }

    def _wait(self, process: str, path: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            child = self._processes[process]
            assert child.poll() is None, f"{process} ended with {child.returncode}:\n{self.log(process)}"
            try:
                response = httpx.get(f"{self.url(process)}{path}", timeout=2, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)  # blocking on purpose: this runs before a test's event loop does
                continue
            if response.status_code == 200:
                return
            answer = response.text
            time.sleep(0.05)
        raise AssertionError(f"{process} {path}: {answer}\n{self.log(process)}")

    def _end(self, process: str, number: signal.Signals, within: float = 20.0) -> int:
        child = self._processes.pop(process)
        child.send_signal(number)
        return child.wait(within)
