"""One shop of real processes for all end-to-end tests of a run, and one in a hurry for deadlines."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from ops.config import SERVICES
from ops.definitions import vhost_definitions
from tests.e2e.client import Shop
from tests.e2e.processes import ShopProcesses
from tests.fixtures.broker import RabbitNode, RabbitVhost
from tests.support.postgres import on_server


def _open(
    rabbit: RabbitNode,
    factory: pytest.TempPathFactory,
    *,
    stores: Mapping[str, str] | None = None,
    replicas: int = 1,
    **extra: str,
) -> Iterator[ShopProcesses]:
    name = f"shop-{secrets.token_hex(4)}"
    with rabbit.management() as management:
        management.load_definitions(vhost_definitions(name))
    processes = ShopProcesses(factory.mktemp("shop"), RabbitVhost(rabbit, name), extra, stores, replicas=replicas)
    try:
        processes.migrate()
        processes.start()
        processes.wait_ready()
        yield processes
    finally:
        processes.close()
        with rabbit.management() as management:
            management.delete(f"vhosts/{name}")


@pytest.fixture(scope="session")
def shop_processes(rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopProcesses]:
    yield from _open(rabbit, tmp_path_factory)


@pytest.fixture(scope="session")
def hasty_processes(rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopProcesses]:
    """Deadlines of seconds."""
    yield from _open(
        rabbit,
        tmp_path_factory,
        ORDER_STOCK_TIMEOUT_SECONDS="3",
        ORDER_PAYMENT_TIMEOUT_SECONDS="2",
        ORDER_SWEEP_SECONDS="0.1",
    )


@pytest.fixture(scope="session")
def postgres_processes(
    rabbit: RabbitNode, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShopProcesses]:
    """Every service on a database of its own on the tests' PostgreSQL server."""
    with _databases(postgres_server) as stores:
        yield from _open(rabbit, tmp_path_factory, stores=stores)


@pytest.fixture(scope="session")
def replicated_processes(
    rabbit: RabbitNode, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShopProcesses]:
    """Two processes of every service, and little time to pay."""
    with _databases(postgres_server) as stores:
        yield from _open(
            rabbit,
            tmp_path_factory,
            stores=stores,
            replicas=2,
            ORDER_PAYMENT_TIMEOUT_SECONDS="25",
            ORDER_SWEEP_SECONDS="0.1",
            PAYMENT_SWEEP_SECONDS="0.1",
            AUTH_ARGON2_MEMORY_KIB="1024",
            AUTH_ARGON2_PASSES="1",
        )


@contextmanager
def _databases(postgres_server: str) -> Iterator[Mapping[str, str]]:
    """An empty database for each service."""
    names = {service: f"shop_{secrets.token_hex(4)}_{service}" for service in SERVICES}
    asyncio.run(on_server(postgres_server, [f"CREATE DATABASE {name}" for name in names.values()]))
    try:
        yield {service: f"{postgres_server}/{name}" for service, name in names.items()}
    finally:
        asyncio.run(on_server(postgres_server, [f"DROP DATABASE {name} WITH (FORCE)" for name in names.values()]))


@pytest.fixture
async def shop(shop_processes: ShopProcesses) -> AsyncIterator[Shop]:
    """The running shop; whatever a test stopped runs again afterwards."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        yield Shop(shop_processes, http)
    _mend(shop_processes)


@pytest.fixture
async def hasty_shop(hasty_processes: ShopProcesses) -> AsyncIterator[Shop]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        yield Shop(hasty_processes, http)
    _mend(hasty_processes)


@pytest.fixture
async def replicated_shop(replicated_processes: ShopProcesses) -> AsyncIterator[Shop]:
    """Somebody who asks a process that does not answer asks the other one soon."""
    async with httpx.AsyncClient(timeout=3, trust_env=False) as http:
        yield Shop(replicated_processes, http)
    for process in replicated_processes.ports:
        replicated_processes.send(process, signal.SIGCONT)
    _mend(replicated_processes)


def _mend(processes: ShopProcesses) -> None:
    broker = processes.vhost.node.broker
    if broker.pid is None:
        broker.restart()
    for service in processes.ports:
        if not processes.running(service):
            processes.start(service)
    processes.wait_ready()
