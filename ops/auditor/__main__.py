"""`python -m ops.auditor`: the auditor of the shop that runs from RUN_DIR, until SIGTERM. `make run` starts it."""

from functools import partial

from chassis.logs import configure_logging
from ops.auditor.desk import AuditDesk, audit_running_shop
from ops.auditor.serving import serve
from ops.config import ShopConfig


def main() -> None:
    configure_logging("auditor", style="json")
    config = ShopConfig.from_environment()
    desk = AuditDesk(partial(audit_running_shop, config), config.audit_file, every=config.audit_seconds)
    serve(desk, config.service_url("auth"), host="127.0.0.1", port=config.ports.auditor_port)


if __name__ == "__main__":
    main()
