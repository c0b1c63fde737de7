"""What the machine was doing: load, CPU time stolen by its host, and what one process used."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

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


def rss_mib(pid: int) -> float:
    """MiB of memory a process has resident now."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return round(int(match[1]) / 1024, 1) if match else 0.0
