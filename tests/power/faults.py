"""Makes a running process' system calls fail, or be its last, for as long as a block lasts."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.waiting import wait_until


@asynccontextmanager
async def fault(pid: int, call: str, what: str, folder: Path) -> AsyncIterator[None]:
    """Attach strace to a process and all its threads: `what` is `error=ENOSPC`, `signal=SIGKILL:when=3` and the like.

    Each thread counts its calls by itself, from now on. When the block ends the calls work again.
    """
    said = folder / f"strace-{pid}"
    tracer = _attach(pid, ["-e", f"trace={call}", "-e", f"inject={call}:{what}"], said)
    try:
        await wait_until(lambda: "attached" in said.read_text(), message=f"strace: {said.read_text()}")
        yield
    finally:
        with suppress(ProcessLookupError):
            tracer.send_signal(signal.SIGINT)
        await asyncio.to_thread(tracer.wait, 10)
        said.unlink()


def _attach(pid: int, options: Sequence[str], said: Path) -> "subprocess.Popen[bytes]":
    with said.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - fixed command
            ["/usr/bin/strace", "-f", "-o", "/dev/null", *options, "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
