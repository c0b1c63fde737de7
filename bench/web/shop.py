"""The shop's own services as contestants: real processes as `make run` starts them, filled with the demo bookshop.

Only those a workload asks run: orders are placed while the catalogue is stopped and reads are answered while order_svc
is, so that each is measured alone. How they do together is `cash`.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from bench.durability import count
from bench.ports import free_ports
from bench.processes import ready
from bench.servers import Node
from bench.stores import Stores
from ops.config import Ports, Secrets, ShopConfig
from ops.console import ShopConsole
from ops.demo.books import demo_books
from ops.demo.loader import OperatorLogin, ShopUrls, load_demo_shop
from ops.processes import Child, ChildSpec, run_once
from tests.support.waiting import wait_until

CUSTOMERS: Final = 8
WAIT_SECONDS: Final = 60.0


class SmallShop:
    """auth_svc, catalog_svc and order_svc, each started and stopped as a workload wants it."""

    def __init__(self, config: ShopConfig, stores: dict[str, str]) -> None:
        self.config = config
        self.stores = stores
        self._console = ShopConsole.on_stderr()
        self._children: dict[str, Child] = {}

    def url(self, service: str) -> str:
        return self.config.service_url(service)

    def pid(self, service: str) -> int:
        pid = self._children[service].pid
        if pid is None:
            raise RuntimeError(f"{service}_svc is not running")
        return pid

    async def migrate(self) -> None:
        await asyncio.gather(*(run_once(self._spec(service, "migrate")) for service in self.stores))

    async def only(self, *services: str) -> None:
        """Run these and no others; returns when they are ready."""
        for service in self._children.keys() - set(services):
            await self._children.pop(service).stop()
        for service in services:
            if service not in self._children:
                self._children[service] = Child(self._spec(service, "serve"), self._console)
                await self._children[service].start()
        await asyncio.gather(*(ready(self.url(service)) for service in services))

    async def stock(self) -> None:
        """List the demo shop's books, and wait until order_svc has heard of all of them."""
        secret = self.config.secrets
        operator = OperatorLogin(secret.operator_email, secret.operator_password)
        await load_demo_shop(ShopUrls(auth=self.url("auth"), catalog=self.url("catalog")), operator)

        async def heard() -> bool:
            return await count(self.stores["order"], "products") == len(demo_books())

        await wait_until(heard, timeout=WAIT_SECONDS, message="order_svc did not hear of all products")

    async def customers(self) -> list[dict[str, str]]:
        """The headers of new customers who are logged in."""
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            return [await self._customer(http) for _ in range(CUSTOMERS)]

    async def published(self) -> None:
        """Wait until order_svc's outbox is empty: what was accepted has been confirmed by the broker."""

        async def empty() -> bool:
            return not await count(self.stores["order"], "outbox", "published_at IS NULL")

        await wait_until(empty, timeout=WAIT_SECONDS, message="order_svc's outbox did not become empty")

    async def _customer(self, http: httpx.AsyncClient) -> dict[str, str]:
        login = {"email": f"{uuid4().hex}@bench.example", "password": secrets.token_urlsafe(15)}
        url = self.url("auth")
        (await http.post(f"{url}/auth/register", json={**login, "name": "Bench"})).raise_for_status()
        answer = await http.post(f"{url}/auth/login", json={**login, "cookie": False})
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _spec(self, service: str, command: str) -> ChildSpec:
        environment = self.config.service_environment(service)
        environment |= {f"{service.upper()}_DATABASE_URL": self.stores[service], "LOG_LEVEL": "warning"}
        return ChildSpec(f"{service}", [sys.executable, "-m", f"{service}_svc", command], environment)


@asynccontextmanager
async def small_shop(node: Node, folder: Path, stores: Stores, services: Iterable[str]) -> AsyncIterator[SmallShop]:
    """A stocked shop of these services on a virtual host of its own; nothing of it runs afterwards."""
    ports = Ports(*free_ports(len(Ports.__slots__)))
    secret = Secrets.load(folder / "secrets.json")
    config = ShopConfig(folder, ports, secret, node.new_vhost(), embedded=False, demo=False)
    shop = SmallShop(config, {service: await stores.new(service) for service in services})
    try:
        await shop.migrate()
        await shop.only(*shop.stores)
        await shop.stock()
        yield shop
    finally:
        await shop.only()
