"""What a running shop writes down about itself in `.run/shop.json`: addresses, process ids and logins, for scripts."""

import json
import os
from typing import Any

from ops.config import SERVICES, ShopConfig, read_state
from ops.processes import Child


class ShopState:
    """The file that tells scripts where the shop is; kept up to date when a process is started again."""

    def __init__(self, config: ShopConfig) -> None:
        self._config = config
        self._ready = False
        self.children: dict[str, Child] = {}

    def write(self, *, ready: bool | None = None) -> None:
        self._ready = self._ready if ready is None else ready
        config, secrets = self._config, self._config.secrets
        document: dict[str, Any] = {
            "ready": self._ready,
            "pid": os.getpid(),
            "embedded": config.embedded,
            "edge": config.edge_url,
            "services": {service: config.service_url(service) for service in SERVICES},
            "pids": {name: child.pid for name, child in self.children.items()},
            "operator": {"email": secrets.operator_email, "password": secrets.operator_password},
            "customer": {"email": secrets.customer_email, "password": secrets.customer_password},
        }
        if not config.embedded:
            document["amqp"] = {"monitoring": config.broker_url("monitoring")}
            if not config.amqp_url:
                document["management"] = {
                    "url": config.management_url,
                    "user": "monitoring",
                    "password": secrets.broker["monitoring"],
                }
        temporary = config.state_file.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document, indent=2))
        temporary.replace(config.state_file)

    def changed(self) -> None:
        if self._ready:
            self.write()

    def remove(self) -> None:
        self._config.state_file.unlink(missing_ok=True)


def running_pid(config: ShopConfig) -> int | None:
    """The process id of the shop that runs from this folder, None if none does."""
    state = read_state(config.state_file)
    try:
        pid = int(state["pid"]) if state else 0
        if pid:
            os.kill(pid, 0)
    except PermissionError:
        return pid
    except (ProcessLookupError, KeyError, ValueError):
        return None  # left behind by one that was killed
    return pid or None
