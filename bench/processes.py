"""Processes of the contestants: servers, started and ended by their own pid, and those that work and report."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import httpx

from bench.ports import free_ports
from tests.support.waiting import wait_until

READY_SECONDS: Final = 30.0
WORK_SECONDS: Final = 120.0
_UVICORN: Final = ("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--no-access-log", "--no-server-header")
"""As the shop's services are served."""


class ServerFailedError(Exception):
    """A server ended before it was told to."""


class WorkFailedError(Exception):
    """A contestant ended without doing all its work; nothing is reported then."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int


@asynccontextmanager
async def uvicorn_server(app: str, store: str = "") -> AsyncIterator[Server]:
    """`package.module:app` served by uvicorn on a free port, with `store` in `BENCH_STORE`."""
    (port,) = free_ports(1)
    command = ("-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", *_UVICORN)
    async with python_server(command, port, {"BENCH_STORE": store}) as server:
        yield server


@asynccontextmanager
async def python_server(
    command: tuple[str, ...], port: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """A Python process that serves HTTP on `port`.

    Raises:
        ServerFailedError, AssertionError: it ended, or does not listen in time.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**os.environ, **(environment or {})}, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(process, port)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def end_in_order_when_told() -> None:
    """Make SIGTERM what Ctrl-C is: brokers, servers and temporary folders of the benchmark go with it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


async def measured(module: str, *arguments: str) -> dict[str, Any]:
    """Run one of our modules as a process; the last line it prints, as JSON.

    Raises:
        WorkFailedError: it ended with an error.
        TimeoutError: it did not end.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WORK_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise WorkFailedError(f"{module} ended with {process.returncode}: {err.decode()[-1000:]}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


async def ready(url: str) -> None:
    """Wait until a service says that it can work.

    Raises:
        AssertionError: it does not.
    """
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        await wait_until(lambda: _says_yes(http, f"{url}/readyz"), timeout=READY_SECONDS, message=f"{url} is not ready")


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    """uvicorn listens when the app has started."""

    async def connected() -> bool:
        if process.returncode is not None:
            raise ServerFailedError(f"the server for port {port} ended with {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await wait_until(connected, timeout=READY_SECONDS, message=f"nothing listens on port {port}")


async def _says_yes(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False
