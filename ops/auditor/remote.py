"""`python -m ops.auditor.remote`: the auditor of a shop of which only addresses are known, as in containers.

What it is told is in `AuditorSettings`. One is enough: two would audit twice and each tell its own.
"""

import sys
from functools import partial

import httpx
from pydantic import ValidationError

from chassis.logs import configure_logging
from ops.audit import Report, audit, running_source
from ops.auditor.desk import AuditDesk
from ops.auditor.serving import serve
from ops.auditor.settings import AuditorSettings
from ops.shop_api import Hints, ShopApi, explained

HINTS = Hints(
    source="AUDITOR_… in the auditor's environment",
    absent="Does it run, and may the auditor reach it?",
    slow="its /readyz says what keeps it",
)


def desk_of(settings: AuditorSettings) -> AuditDesk:
    """A desk that audits the shop the settings name."""
    return AuditDesk(
        partial(audit_shop, settings),
        settings.file,
        every=settings.every_seconds,
        explain=partial(explained, hints=HINTS),
    )


async def audit_shop(settings: AuditorSettings) -> Report:
    """Raises: httpx.HTTPError, ManagementError."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        return await audit(running_source(ShopApi(settings.shop(), http)))


def main() -> None:
    configure_logging("auditor", style="json")
    try:
        settings = AuditorSettings()
    except ValidationError as error:
        sys.stderr.write("".join(f"AUDITOR_{e['loc'][0]}".upper() + f": {e['msg']}\n" for e in error.errors()))
        raise SystemExit(2) from None
    serve(desk_of(settings), settings.auth_url, host=settings.host, port=settings.port)


if __name__ == "__main__":
    main()
