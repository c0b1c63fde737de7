"""Runs of `bench.soak` to test with."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from bench.order_to_cash import Latencies
from bench.soak.people import Tally
from bench.soak.run import Window, trends, window_of
from bench.soak.watch import Look, Stock, Use

PROCESSES: Final = ("auth", "catalog", "order", "payment", "auditor", "broker")
WARM_UP: Final = 600.0

Memory = Callable[[float], float]
"""MiB by minute."""


def look(minute: float, memory: Mapping[str, Memory] | None = None, fds: Mapping[str, Memory] | None = None) -> Look:
    """A shop whose processes have 100 MiB and 30 open files each, unless said otherwise; an order a second."""
    orders = int(minute * 60)
    return Look(
        uses={
            name: Use(
                rss_mib=(memory or {}).get(name, _always(100))(minute),
                pss_mib=90.0,
                fds=int((fds or {}).get(name, _always(30))(minute)),
                cpu_seconds=minute * 0.6,
            )
            for name in PROCESSES
        },
        stores={"order": Stock(1000 + 500 * orders, 4096, {"orders": orders, "products": 50})},
        outbox={"order": 2},
        queues={"catalog.inbox": 3},
        journal_messages=8 * orders,
        broker_bytes=900 * orders,
        load=1.5,
    )


def _always(value: float) -> Memory:
    return lambda _: value


def windows(
    minutes: int, memory: Mapping[str, Memory] | None = None, fds: Mapping[str, Memory] | None = None
) -> list[Window]:
    """One a minute, of 60 paid orders each."""
    looks = [look(float(minute), memory, fds) for minute in range(minutes + 1)]
    made = []
    for minute in range(1, minutes + 1):
        tally = Tally(placed=[0.01] * 60, paid=[0.1] * 59 + [0.5])
        tally.done.update({"pay": 60, "reads": 240})
        made.append(window_of(tally, minute * 60.0, 60.0, looks[minute - 1], looks[minute]))
    return made


def document(minutes: int = 60, memory: Mapping[str, Memory] | None = None, **other: Any) -> dict[str, Any]:
    """The whole document of a run."""
    ran = windows(minutes, memory)
    assert ran[0].paid_ms == Latencies(100.0, 100.0, 500.0)
    return {
        "quick": False,
        "at": "2026-01-01T00:00:00+00:00",
        "pace": {"rate": 1.0, "seconds": 60.0 * minutes, "window": 60.0, "warm_up": WARM_UP},
        "wishes": {"pay": 1.0},
        "store": "SQLite, WAL",
        "machine": {"cores": 2, "cpu": "Chip"},
        "commit": "abc1234",
        "stolen_percent": 0.0,
        "bounds": {"mib_per_hour": 4.0, "fds_per_hour": 10.0},
        "memory": {name: asdict(each) for name, each in trends(ran, WARM_UP, "rss_mib").items()},
        "files": {name: asdict(each) for name, each in trends(ran, WARM_UP, "fds").items()},
        "audit": [],
        "opened": asdict(look(0.0)),
        "windows": [asdict(window) for window in ran],
        "rested": asdict(look(float(minutes))),
        **other,
    }
