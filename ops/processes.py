"""Child processes of the launcher: started, listened to, started again when they die, ended in time."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ops.console import ShopConsole

STOP_SECONDS: Final = 12.0
FIRST_RESTART_SECONDS: Final = 0.5
LAST_RESTART_SECONDS: Final = 5.0
HEALTHY_SECONDS: Final = 20.0
LINE_LIMIT: Final = 1 << 20


class ChildFailedError(Exception):
    """A one-shot child ended with an error; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run: `environment` is added to our own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


async def run_once(spec: ChildSpec) -> None:
    """Run a command to its end.

    Raises:
        ChildFailedError: it did not end with 0.
    """
    process = await asyncio.create_subprocess_exec(
        *spec.command,
        env={**os.environ, **spec.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        tail = "\n".join(output.decode(errors="replace").splitlines()[-15:])
        raise ChildFailedError(f"{spec.name} failed ({_how(process.returncode)}):\n{tail}")


class Child:
    """A process that should always run: if it dies it is started again, and that is said."""

    def __init__(self, spec: ChildSpec, console: ShopConsole, on_change: Callable[[], None] = lambda: None) -> None:
        self.spec = spec
        self._console = console
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.restarts = 0
        self.last_line_at = 0.0
        """When it printed last, in the loop's time."""

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        await self._spawn()
        self._task = asyncio.create_task(self._keep_running(), name=f"child:{self.spec.name}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after `STOP_SECONDS`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._listen(process)
                await process.wait()
        except TimeoutError:
            self._console.warn(f"{self.spec.name} did not stop in {STOP_SECONDS:.0f} s and was killed")
            process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self.spec.command,
            env={**os.environ, **self.spec.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for the launcher, which stops us in order
            limit=LINE_LIMIT,
        )
        self._on_change()

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_RESTART_SECONDS
        while self._process is not None:
            started = loop.time()
            await self._listen(self._process)
            code = await self._process.wait()
            if loop.time() - started > HEALTHY_SECONDS:
                pause = FIRST_RESTART_SECONDS
            self._console.warn(f"{self.spec.name} died ({_how(code)}); starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RESTART_SECONDS)
            self.restarts += 1
            await self._spawn()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            if text:
                self.last_line_at = asyncio.get_running_loop().time()
                self._console.log(self.spec.name, text)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"
