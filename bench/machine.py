"""What the machine is and was doing: load, CPU time stolen by its host, what runs on it, and what one process used."""

import os
import platform
import re
import sqlite3
import statistics
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("fastapi", "uvicorn", "uvloop", "pydantic", "sqlalchemy", "aiosqlite", "asyncpg", "aio-pika", "faststream")
ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """The machine at one moment: load averages, and CPU ticks since boot."""

    load: tuple[float, float, float]
    stolen: int
    total: int

    @classmethod
    def now(cls) -> "Moment":
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(os.getloadavg(), ticks[7], sum(ticks))

    def stolen_percent_until(self, later: "Moment") -> float:
        """How much of the CPU time between the two the machine's host took away."""
        return round(100 * (later.stolen - self.stolen) / max(1, later.total - self.total), 2)


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process has used, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def ended_children_seconds(pid: int) -> float:
    """CPU seconds that children of a process had used when they ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def rss_mib(pid: int) -> float:
    """MiB of memory a process has resident now."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return round(int(match[1]) / 1024, 1) if match else 0.0


def described(folder: Path) -> dict[str, Any]:
    """The machine: processor, memory, and how fast its disk (that of `folder`) and its Python are right now."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "fsync_ms": median_fsync_ms(folder),
        "loop_ms": loop_ms(),
    }


def versions() -> dict[str, str | None]:
    """Of Python, SQLite and the packages that matter; None: not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def commit() -> str | None:
    """The commit that is measured, with a `+` if files differ from it; None outside a repository."""
    try:
        head = _git("rev-parse", "--short", "HEAD").strip()
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def median_fsync_ms(folder: Path) -> float:
    """What the disk asks for making 4 KiB durable: an order pays it some fifteen times, one after the other."""
    times: list[float] = []
    with (folder / "fsync-probe").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1000, 2)


def loop_ms() -> float:
    """How long Python takes for a million additions here and now: the best of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        sum(range(1_000_000))
        times.append(time.perf_counter() - begun)
    return round(min(times) * 1000, 1)


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - fixed command
        ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - whichever git the user has
        check=True,
        capture_output=True,
        text=True,
    ).stdout
