"""What the benchmarks read of processes."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from bench import replicas
from bench.replicas import server_cpu_seconds

BURN = "import time\nwhile time.process_time() < 0.3: pass"
PARENT = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print(1, flush=True); sys.stdin.read()"
)
URL = "postgresql+asyncpg://nobody@127.0.0.1:1"


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes a process the server that listens at `URL`."""
    return lambda pid: monkeypatch.setattr(replicas, "listener_of", lambda _: f"somebody, pid {pid}")


def test_a_servers_processor_time_includes_processes_that_ended(listening: Callable[[int], None]) -> None:
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # its child has ended
        listening(parent.pid)
        assert server_cpu_seconds(URL) > 0.25


def test_a_process_that_ends_while_it_is_looked_at_stops_nobody(
    listening: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:  # noqa: S603 - our own words
        listening(parent.pid)
        gone = 2**22 + 1  # no pid is that large
        monkeypatch.setattr(replicas, "server_processes", lambda _: [parent.pid, gone])
        assert server_cpu_seconds(URL) >= 0.0
