"""A shop of real processes under supervision: who dies is started again at once, as the launcher does."""

import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ops.broker import ManagementApi
from ops.config import SERVICES
from ops.definitions import vhost_definitions
from tests.e2e.processes import ShopProcesses
from tests.fixtures.broker import RabbitNode, RabbitVhost

STOP_SECONDS: Final = 10.0
CHEAP_HASHES: Final = {"AUTH_ARGON2_MEMORY_KIB": "1024", "AUTH_ARGON2_PASSES": "1"}
"""Forty people log in at once; hashing is not what is measured here."""


class SupervisedShop(ShopProcesses):
    """What the end-to-end tests start, and may be ill-treated while others use it."""

    def __init__(
        self,
        folder: Path,
        vhost: RabbitVhost,
        extra: Mapping[str, str] | None = None,
        stores: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, vhost, extra, stores)
        self.restarts: Counter[str] = Counter()

    def management(self, timeout: float = 10.0) -> ManagementApi:
        node = self.vhost.node
        return ManagementApi(node.broker.management_url, "operator", node.passwords["operator"], timeout=timeout)

    def revive(self) -> list[str]:
        """Start again whoever died unasked; who that was."""
        dead = [service for service, process in list(self._processes.items()) if process.poll() is not None]
        for service in dead:
            self.launch(service)
            self.restarts[service] += 1
        return dead

    def send(self, service: str, number: signal.Signals) -> None:
        """A signal, if the process runs."""
        process = self._processes.get(service)
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def stop_within(self, service: str) -> tuple[int, float]:
        """SIGTERM; exit status and seconds. The process is not revived."""
        begun = time.monotonic()
        return self.stop(service), time.monotonic() - begun


@contextmanager
def supervised_shop(node: RabbitNode, folder: Path, *, pay_within: float, stores: str = "") -> Iterator[SupervisedShop]:
    """A ready shop in a virtual host of its own; `stores` is the URL of a PostgreSQL server, SQLite without it."""
    name = f"chaos-{secrets.token_hex(4)}"
    with node.management() as management:
        management.load_definitions(vhost_definitions(name))
    vhost = RabbitVhost(node, name)
    vhost.make_durable()
    databases = {service: f"{stores}/chaos_{service}" for service in SERVICES} if stores else None
    shop = SupervisedShop(folder, vhost, {"ORDER_PAYMENT_TIMEOUT_SECONDS": str(pay_within), **CHEAP_HASHES}, databases)
    try:
        shop.migrate()
        shop.start()
        shop.wait_ready()
        yield shop
    finally:
        for service in SERVICES:
            shop.send(service, signal.SIGCONT)
        shop.close()
        with node.management() as management:
            management.delete(f"vhosts/{name}")


def keep_logs(shop: SupervisedShop, target: Path) -> None:
    """Copy what the services printed to where the report is."""
    target.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        shutil.copyfile(shop.folder / f"{service}.log", target / f"{service}.log")
