"""Asks a service over 16 connections, and what an answer cost it and its store."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from bench.http import Connection
from bench.machine import cpu_seconds
from bench.ports import free_ports
from bench.processes import Server, python_server
from bench.replicas import server_cpu_seconds

CONNECTIONS: Final = 16
BOUGHT: Final = 50
"""How many products are asked for and bought, in turn."""
BUYER: Final = UUID(int=7)

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    target: str
    headers: Headers = field(default_factory=dict)
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """What a service is asked again and again; `request` is given another number each time."""

    service: str
    name: str
    request: Callable[[int], Request]


@dataclass(frozen=True)
class Cost:
    """What was answered per second, and CPU milliseconds of each answer: the service's and its PostgreSQL server's."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True)
class Side:
    """Services on stores of one size. `database` is the URL of their PostgreSQL server."""

    servers: Mapping[str, Server]
    asked: list[Asked]
    database: str | None = None

    def cpu(self, service: str) -> float:
        """CPU seconds the service and its server have used."""
        return cpu_seconds(self.servers[service].pid) + database_cpu(self.database)


def database_cpu(database: str | None) -> float:
    """CPU seconds all processes of a PostgreSQL server have used; 0 without one."""
    return server_cpu_seconds(database) if database else 0.0


@asynccontextmanager
async def serving(stores: Mapping[str, str]) -> AsyncIterator[dict[str, Server]]:
    """Each service on its store, a process of its own; no broker is there."""
    async with AsyncExitStack() as stack:
        servers = {}
        for service, store in stores.items():
            (port,) = free_ports(1)
            environment = {
                f"{service.upper()}_PORT": str(port),
                f"{service.upper()}_DATABASE_URL": store,
                "AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/",
                "LOG_LEVEL": "error",
            }
            command = ("-m", f"{service}_svc", "serve")
            servers[service] = await stack.enter_async_context(python_server(command, port, environment))
        yield servers


async def ask(side: Side, asked: Asked, seconds: float) -> Cost:
    """Ask for so long.

    Raises:
        RuntimeError: an answer was an error.
    """
    url = side.servers[asked.service].url
    before, begun = side.cpu(asked.service), time.perf_counter()
    counts = await asyncio.gather(*(_one(url, asked, n * 1_000, begun + seconds) for n in range(CONNECTIONS)))
    took, answered = time.perf_counter() - begun, sum(counts)
    return Cost(answered / took, (side.cpu(asked.service) - before) / answered * 1_000)


async def once(url: str, requests: Iterable[Request]) -> None:
    """Make these requests, one after the other."""
    async with Connection(url) as connection:
        for request in requests:
            await _answered(connection, request)


async def _one(url: str, asked: Asked, number: int, end: float) -> int:
    answered = 0
    async with Connection(url) as connection:
        while time.perf_counter() < end or not answered:
            await _answered(connection, asked.request(number + answered))
            answered += 1
    return answered


async def _answered(connection: Connection, request: Request) -> None:
    answer = await connection.request(request.method, request.target, request.headers, request.body)
    if answer.status >= 400:
        raise RuntimeError(f"{request.target} answered {answer.status}: {answer.body[:200]!r}")
