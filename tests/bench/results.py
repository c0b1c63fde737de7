"""Results to test with."""

from collections.abc import Sequence
from typing import Any

from bench.rounds import Contestant, Sample, summarised


async def _never() -> Sample:
    raise AssertionError("not run")


def row(work: str, contestant: str, role: str, *rates: float, cpu_ms: float = 1.0) -> dict[str, Any]:
    """One contestant's row, of rounds with these rates."""
    samples = [Sample(1000, 1000 / rate, cpu_ms) for rate in rates]
    return summarised(work, Contestant(contestant, role, _never), samples).document()


def result(rows: Sequence[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """A whole document of these rows."""
    return {
        "at": "2026-01-01T00:00:00+00:00",
        "quick": False,
        "parts": ["backlog", "cash", "hop", "idle", "memory", "orders", "reads", "replay"],
        "left_out": [],
        "store": "SQLite, WAL",
        "commit": "abc1234",
        "machine": {"cores": 2, "cpu": "Chip", "memory_gib": 4.0, "fsync_ms": 0.3, "loop_ms": 20.0},
        "versions": {"python": "3.11.7", "faststream": None},
        "load_before": (1.0, 1.0, 1.0),
        "load_after": (2.0, 1.0, 1.0),
        "stolen_percent": 0.0,
        "rows": list(rows),
        "cash": None,
        **other,
    }
