"""A shop of real processes under supervision: who dies is started again at once, as the launcher does."""

import secrets
import shutil
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
        *,
        replicas: int = 1,
    ) -> None:
        super().__init__(folder, vhost, extra, stores, replicas=replicas)
        self.restarts: Counter[str] = Counter()

    def management(self, timeout: float = 10.0) -> ManagementApi:
        return self.vhost.node.management(timeout=timeout)

    def revive(self) -> list[str]:
        """Start again whoever died unasked; who that was."""
        dead = [process for process, child in list(self._processes.items()) if child.poll() is not None]
        for process in dead:
            self.launch(process)
            self.restarts[process] += 1
        return dead

    def stop_within(self, process: str) -> tuple[int, float]:
        """SIGTERM; exit status and seconds. The process is not revived."""
        begun = time.monotonic()
        return self.stop(process), time.monotonic() - begun


@contextmanager
def supervised_shop(
    node: RabbitNode, folder: Path, *, pay_within: float, stores: str = "", replicas: int = 1
) -> Iterator[SupervisedShop]:
    """A ready shop in a virtual host of its own; `stores` is the URL of a PostgreSQL server, SQLite without it."""
    name = f"chaos-{secrets.token_hex(4)}"
    with node.management() as management:
        management.load_definitions(vhost_definitions(name))
    vhost = RabbitVhost(node, name)
    vhost.make_durable()
    databases = {service: f"{stores}/chaos_{service}" for service in SERVICES} if stores else None
    settings = {"ORDER_PAYMENT_TIMEOUT_SECONDS": str(pay_within), **CHEAP_HASHES}
    shop = SupervisedShop(folder, vhost, settings, databases, replicas=replicas)
    try:
        shop.migrate()
        shop.start()
        shop.wait_ready()
        yield shop
    finally:
        shop.close()
        with node.management() as management:
            management.delete(f"vhosts/{name}")


def keep_logs(shop: SupervisedShop, target: Path) -> None:
    """Copy what the services printed to where the report is."""
    target.mkdir(parents=True, exist_ok=True)
    for process in shop.ports:
        shutil.copyfile(shop.folder / f"{process}.log", target / f"{process}.log")
