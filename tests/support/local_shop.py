"""A shop as `make run` starts it, with its real launcher, in a folder and on free ports of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ops.broker import free_port
from ops.config import Ports, read_state
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
LAUNCHER: Final = (sys.executable, "-m", "ops.cli", "up")
STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class LocalShop:
    """`environment` is what a command needs to find it; `state` is what it wrote down about itself."""

    environment: Mapping[str, str]
    state: Mapping[str, Any]
    log: Path
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        return str(self.state["edge"])

    def printed(self) -> list[str]:
        """What the launcher has printed so far, without empty lines."""
        return [line.rstrip() for line in self.log.read_text().splitlines() if line.strip()]


@asynccontextmanager
async def local_shop(
    folder: Path, *, command: Sequence[str] = LAUNCHER, cwd: Path = ROOT, open_seconds: float = 180.0, **extra: str
) -> AsyncIterator[LocalShop]:
    """A shop that is open; stopped as by Ctrl-C afterwards. `extra` goes into its environment.

    Raises:
        AssertionError: it did not open in time; the message ends with what it printed.
    """
    ports = {name.upper(): str(free_port()) for name in Ports.__slots__}
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "MAKE"))}
    environment = {**given, **ports, "RUN_DIR": str(folder / "run"), "PYTHONUNBUFFERED": "1", **extra}
    state_file, log = folder / "run" / "shop.json", folder / "shop.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True
        )

        def stop() -> None:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGINT)

        def is_open() -> bool:
            assert process.returncode is None, log.read_text()[-3000:]
            return "Ctrl-C" in log.read_text() and (read_state(state_file) or {}).get("ready") is True

        try:
            await wait_until(is_open, timeout=open_seconds, message=f"the shop did not open: {log}")
            yield LocalShop(environment, read_state(state_file) or {}, log, stop)
        finally:
            stop()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise
