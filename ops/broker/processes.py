"""Processes remembered in pid files, so that a later run can end what a crashed one left behind."""

import contextlib
import os
import signal
import time
from pathlib import Path

_POLL_SECONDS = 0.02


class PidFile:
    """One process, known by its pid and a mark in its command line, which a reused pid does not have."""

    def __init__(self, path: Path, mark: str) -> None:
        self._path = path
        self._mark = mark.encode()

    def write(self, pid: int) -> None:
        self._path.write_text(f"{pid}\n")

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def pid(self) -> int | None:
        """The pid of our process if it is alive, None otherwise."""
        try:
            pid = int(self._path.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            return pid if (self._mark in command or not command) and _running(pid) else None
        except (OSError, ValueError):
            return None

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it is there."""
        if (pid := self.pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread of the process has stopped."""
        self.send(signal.SIGSTOP)
        while (pid := self.pid()) is not None and any(state not in ("T", "t") for state in _thread_states(pid)):
            time.sleep(_POLL_SECONDS)

    def end(self, *, grace: float) -> None:
        """SIGTERM, then after `grace` seconds SIGKILL; returns when the process is gone."""
        self.send(signal.SIGCONT)  # a paused process would not see the rest
        self.send(signal.SIGTERM)
        if not self.wait_gone(grace):
            self.send(signal.SIGKILL)
            self.wait_gone(10)
        self.clear()

    def wait_gone(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while (pid := self.pid()) is not None:
            _reap(pid)
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _running(pid: int) -> bool:
    """Alive: a zombie whose threads are not all gone still holds its ports."""
    state = _state(Path(f"/proc/{pid}"))
    return state not in ("Z", "X") or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def _thread_states(pid: int) -> list[str]:
    states: list[str] = []
    for folder in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):  # the thread ended while we looked
            states.append(_state(folder))
    return states


def _state(folder: Path) -> str:
    """The one-letter state of a process or thread, by its folder in /proc."""
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]


def _reap(pid: int) -> None:
    """Collect our own child; of someone else's there is nothing to collect."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
