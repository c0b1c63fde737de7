"""Several services in one process on a broker in memory: `python -m chassis.host order_svc catalog_svc …`.

For a look around without RabbitMQ. The stores are the real ones; the broker forgets everything with the process, so
each service offers its kept outbox again at start and the inboxes drop what was handled.
"""

import asyncio
import importlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_type_hints

import uvloop
from fastapi import FastAPI

from chassis.clock import SystemClock
from chassis.db import Store
from chassis.ids import Uuid7
from chassis.logs import configure_logging
from chassis.migrate import migrate
from chassis.runtime import Environment
from chassis.serve import Server
from chassis.settings import ServiceSettings
from chassis.telemetry import Metrics
from chassis.tracing.start import TracingPackagesMissingError, tracer_for
from chassis.transport.memory import MemoryBroker, MemoryTransport

Build = Callable[[Any, Environment], FastAPI]


def load(package: str) -> tuple[Build, ServiceSettings]:
    """A service's `build` and its settings from the environment, by convention from `<package>.app.build(settings, …)`.

    Raises:
        ImportError: there is no such service.
    """
    build: Build = importlib.import_module(f"{package}.app").build
    settings_type: type[ServiceSettings] = get_type_hints(build)["settings"]
    return build, settings_type()


async def host(packages: Sequence[str]) -> None:
    """Serve every package on its own port until told to stop."""
    clock = SystemClock()
    broker = MemoryBroker(clock=clock, keep_journal=False)
    servers: list[HostedServer] = []
    for package in packages:
        build, settings = load(package)
        await asyncio.to_thread(migrate, package, settings.database_url)
        environment = Environment(
            store=Store(settings.database_url),
            transport=MemoryTransport(broker, settings.service),
            clock=clock,
            ids=Uuid7(clock),
            observer=Metrics(),
            tracer=tracer_for(settings, broker="memory"),
            forgetful_broker=True,
        )
        servers.append(HostedServer(build(settings, environment), settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: _stop(servers))
    await asyncio.gather(*(server.serve() for server in servers))


class HostedServer(Server):
    """One of several servers in a process: signals are for all of them, so none takes them for itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(servers: Sequence[Server]) -> None:
    for server in servers:
        server.should_exit = True


def main() -> None:
    packages = sys.argv[1:]
    if not packages:
        raise SystemExit("usage: python -m chassis.host PACKAGE…")
    configure_logging("shop")
    try:
        uvloop.run(host(packages))
    except TracingPackagesMissingError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
