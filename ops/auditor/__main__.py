"""`python -m ops.auditor`: the auditor of the shop that runs from RUN_DIR, until SIGTERM. `make run` starts it."""

import signal
import types
from contextlib import suppress
from functools import partial

import httpx
import uvicorn

from chassis.logs import configure_logging
from ops.auditor.api import AuditorApi
from ops.auditor.desk import AuditDesk, audit_running_shop
from ops.config import ShopConfig


def main() -> None:
    configure_logging("auditor", style="json")
    config = ShopConfig.from_environment()
    desk = AuditDesk(partial(audit_running_shop, config), config.audit_file, every=config.audit_seconds)
    auth = httpx.AsyncClient(base_url=config.service_url("auth"), trust_env=False)
    server = uvicorn.Server(
        uvicorn.Config(
            AuditorApi(desk, auth).app(),
            host="127.0.0.1",
            port=config.ports.auditor_port,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    signal.signal(signal.SIGTERM, _stopped)  # uvicorn raises it again when it has stopped
    with suppress(KeyboardInterrupt):
        server.run()


def _stopped(_signal: int, _frame: types.FrameType | None) -> None:
    """Nothing left to do."""


if __name__ == "__main__":
    main()
