"""Real processes and sockets for tests of the edge: an app on loopback, and Caddy with the repository's own file."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


def require(program: str) -> str:
    """Where a program is. Without it the test is skipped, or fails where nothing may be skipped (CI)."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return found


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The app on a loopback port, in this event loop."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def edge(upstreams: Mapping[str, int], home: Path, **extra: str) -> AsyncIterator[str]:
    """Caddy in front of `upstreams` (AUTH, CATALOG, … → port); a missing one is down. Yields its URL."""
    caddy = require("caddy")
    port = free_port()
    names = ("AUTH", "CATALOG", "ORDER", "PAYMENT", "AUDITOR")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "EDGE_PORT": str(port),
        "EDGE_ROOT": str(ROOT / "edge/static"),
        **{f"{name}_UPSTREAM": f"127.0.0.1:{upstreams.get(name) or free_port()}" for name in names},
        **extra,
    }
    config = str(ROOT / "edge/Caddyfile")
    process = await asyncio.create_subprocess_exec(
        caddy, "run", "--adapter", "caddyfile", "--config", config, env=environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await wait_until(lambda: _answers(url), message="caddy did not come up")
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False
