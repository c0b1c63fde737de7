"""Four real service processes on a real broker, which a test may stop, kill and start again."""

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


class ShopProcesses:
    """The services of one shop; each has its own store, port and broker user.

    `extra` goes into everyone's environment, `stores` are URLs of empty databases; without them each store is a file.
    """

    def __init__(
        self,
        folder: Path,
        vhost: RabbitVhost,
        extra: Mapping[str, str] | None = None,
        stores: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.vhost = vhost
        self.stores = stores or {service: f"sqlite+aiosqlite:///{folder / service}.db" for service in SERVICES}
        self.ports = {service: free_port() for service in SERVICES}
        self._extra = dict(extra or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def management(self) -> ManagementApi:
        return self.vhost.node.management()

    def migrate(self) -> None:
        running = [(s, self._spawn(s, "migrate")) for s in SERVICES]
        for service, process in running:
            assert process.wait(60) == 0, self.log(service)

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

    def start(self, *services: str, failpoint: str = "") -> None:
        """Start services (all, if none is named) and return when they answer; they may not be ready yet."""
        for service in services or SERVICES:
            self.launch(service, failpoint=failpoint)
        for service in services or SERVICES:
            self._wait(service, "/healthz")

    def launch(
        self, service: str, *, failpoint: str = "", module: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        """Start one service and do not wait for it: it may be meant to die on the way.

        `module` is another program that takes its place.
        """
        self._aim(service, failpoint)
        self._processes[service] = self._spawn(service, "serve", module, extra)

    def ended(self, service: str) -> bool:
        """Whether the process has ended by itself."""
        return self._processes[service].poll() is not None

    def arm(self, service: str, failpoint: str) -> None:
        """Arm a running service anew; hits count, and its trace begins, from here."""
        self._aim(service, failpoint)
        self._processes[service].send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + READY_SECONDS
        while f"{service}.armed" not in self.trace(service):
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.005)  # blocking on purpose: nothing else of the test may happen in between

    def trace(self, service: str) -> list[str]:
        """The failpoints it passed since it was started or armed, and those that struck."""
        return self._trace_file(service).read_text().splitlines()

    def wait_ready(self, *services: str) -> None:
        """Until these (or all) say that nothing keeps them from working."""
        for service in services or SERVICES:
            self._wait(service, "/readyz")

    def stop(self, service: str, *, within: float = 20.0) -> int:
        """SIGTERM, and the exit status; an error if it takes more than `within` seconds."""
        return self._end(service, signal.SIGTERM, within)

    def kill(self, service: str) -> None:
        self._end(service, signal.SIGKILL)

    def wait_dead(self, service: str) -> int:
        """Until the process has ended by itself (a failpoint); its exit status, minus the signal."""
        return self._processes.pop(service).wait(READY_SECONDS)

    def running(self, service: str) -> bool:
        return service in self._processes

    def close(self) -> None:
        for service in list(self._processes):
            self.stop(service)
        for log in self._logs:
            log.close()

    def log(self, service: str) -> str:
        """The end of what a service printed."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-4000:]

    def _aim(self, service: str, failpoint: str) -> None:
        Failpoints(service, failpoint)  # a misspelt one would only be refused in the service's log
        (self.folder / f"{service}.failpoint").write_text(failpoint)
        self._trace_file(service).write_text("")

    def _trace_file(self, service: str) -> Path:
        return self.folder / f"{service}.trace"

    def _spawn(
        self, service: str, command: str, module: str = "", extra: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{service}.log").open("ab")
        self._logs.append(log)
        return subprocess.Popen(  # noqa: S603 - our own service
            [sys.executable, "-m", module or f"{service}_svc", command],
            env={**os.environ, **self._environment(service), **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _environment(self, service: str) -> dict[str, str]:
        prefix = service.upper()
        email, password = OPERATOR
        return {
            f"{prefix}_DATABASE_URL": self.stores[service],
            f"{prefix}_PORT": str(self.ports[service]),
            f"{prefix}_AMQP_URL": self.vhost.url(service),
            "AUTH_OPERATOR_EMAIL": email,
            "AUTH_OPERATOR_PASSWORD": password,
            "LOG_FORMAT": "json",
            "FAILPOINT": f"@{self.folder / service}.failpoint",
            "FAILPOINT_TRACE": str(self._trace_file(service)),
            **self._extra,
        }

    def _wait(self, service: str, path: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            process = self._processes[service]
            assert process.poll() is None, f"{service} ended with {process.returncode}:\n{self.log(service)}"
            try:
                response = httpx.get(f"{self.url(service)}{path}", timeout=2, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)  # blocking on purpose: this runs before a test's event loop does
                continue
            if response.status_code == 200:
                return
            answer = response.text
            time.sleep(0.05)
        raise AssertionError(f"{service} {path}: {answer}\n{self.log(service)}")

    def _end(self, service: str, number: signal.Signals, within: float = 20.0) -> int:
        process = self._processes.pop(service)
        process.send_signal(number)
        return process.wait(within)
