"""The auditor as a process: its door on a port, until SIGTERM."""

import signal
import types
from contextlib import suppress

import httpx
import uvicorn

from ops.auditor.api import AuditorApi
from ops.auditor.desk import AuditDesk


def serve(desk: AuditDesk, auth_url: str, *, host: str, port: int) -> None:
    """Answer operators, whom auth_svc at `auth_url` knows, and audit meanwhile. Returns after SIGTERM or SIGINT."""
    auth = httpx.AsyncClient(base_url=auth_url, trust_env=False)
    server = uvicorn.Server(
        uvicorn.Config(
            AuditorApi(desk, auth).app(),
            host=host,
            port=port,
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
