"""Runs a service's app on uvicorn until SIGTERM or Ctrl-C, then drains it within the time the settings give.

The parser is httptools, in C, where h11 is Python. It takes headers of any size and waits for ever for
slow clients; the first is limited in chassis.edge, the second is the edge proxy's work, in front of every service.
"""

import asyncio
import gc
import signal
import socket
import types
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from chassis.settings import ServiceSettings


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve until told to stop; returns after a clean stop, so that the process exits with 0."""
    server = Server(app, settings)
    # uvicorn raises the signal again when it has stopped; a default SIGTERM would make a clean stop look like a kill.
    signal.signal(signal.SIGTERM, _stopped)
    with suppress(KeyboardInterrupt):
        server.run()


class Server(uvicorn.Server):
    """Tells the app that it stops before waiting for its answers to end; `/readyz` says so from then on."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http="httptools",
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=True,
                forwarded_allow_ips=settings.forwarded_allow_ips,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )
        self._stopping: asyncio.Event = app.state.stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # modules, routes and schemas stay for good: looking through them again costs tens of milliseconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)


def _stopped(_signal: int, _frame: types.FrameType | None) -> None:
    """Nothing left to do."""
