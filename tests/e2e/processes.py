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

from ops.broker import ManagementApi, free_port
from ops.config import SERVICES
from tests.fixtures.broker import RabbitVhost

READY_SECONDS: Final = 60.0
OPERATOR: Final = ("operator@shop.example", secrets.token_urlsafe(12))


class ShopProcesses:
    """The services of one shop; each has its own SQLite store, port and broker user."""

    def __init__(self, folder: Path, vhost: RabbitVhost, extra: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.vhost = vhost
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

    def start(self, *services: str, failpoint: str = "") -> None:
        """Start services (all, if none is named) and return when they answer; they may not be ready yet."""
        for service in services or SERVICES:
            self.spawn(service, failpoint=failpoint)
        for service in services or SERVICES:
            self._wait(service, "/healthz")

    def spawn(self, service: str, *, failpoint: str = "", module: str = "") -> None:
        """Start a service and do not wait; `module` is another program that takes its place."""
        self._processes[service] = self._spawn(service, "serve", failpoint, module)

    def ended(self, service: str) -> bool:
        """Whether the process has ended by itself."""
        return self._processes[service].poll() is not None

    def wait_ready(self, *services: str) -> None:
        """Until these (or all) say that nothing keeps them from working."""
        for service in services or SERVICES:
            self._wait(service, "/readyz")

    def stop(self, service: str) -> int:
        """SIGTERM, and the exit status."""
        return self._end(service, signal.SIGTERM)

    def kill(self, service: str) -> None:
        self._end(service, signal.SIGKILL)

    def wait_dead(self, service: str) -> None:
        """Until the process has ended by itself (a failpoint)."""
        self._processes.pop(service).wait(READY_SECONDS)

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

    def _spawn(self, service: str, command: str, failpoint: str = "", module: str = "") -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{service}.log").open("ab")
        self._logs.append(log)
        return subprocess.Popen(  # noqa: S603 - our own service
            [sys.executable, "-m", module or f"{service}_svc", command],
            env={**os.environ, **self._environment(service), "FAILPOINT": failpoint},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _environment(self, service: str) -> dict[str, str]:
        prefix = service.upper()
        email, password = OPERATOR
        return {
            f"{prefix}_DATABASE_URL": f"sqlite+aiosqlite:///{self.folder / service}.db",
            f"{prefix}_PORT": str(self.ports[service]),
            f"{prefix}_AMQP_URL": self.vhost.url(service),
            "AUTH_OPERATOR_EMAIL": email,
            "AUTH_OPERATOR_PASSWORD": password,
            "LOG_FORMAT": "json",
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

    def _end(self, service: str, number: signal.Signals) -> int:
        process = self._processes.pop(service)
        process.send_signal(number)
        return process.wait(20)
