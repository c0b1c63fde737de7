"""The work of one hop, the same for all: which messages come in, which rows change, which message goes out.

In: `order.cancelled`. In one transaction: the event's id into an inbox (a known one changes nothing), one of
1,000 counters up by one, one ledger row more, one outbox row. Out: `order.fulfilled`, persistent and confirmed. Then
the acknowledgement.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

COUNTERS = 1000
PREFETCH = 200
QUEUE = "order.inbox"
EXCHANGE = "shop.events"
TYPE_IN = "order.cancelled.v1"
TYPE_OUT = "order.fulfilled.v1"

_SCHEMA = """
CREATE TABLE inbox (event_id VARCHAR(36) PRIMARY KEY, type VARCHAR(80) NOT NULL, handled_at VARCHAR(40) NOT NULL);
CREATE TABLE counters (id VARCHAR(36) PRIMARY KEY, value INTEGER NOT NULL, version INTEGER NOT NULL);
CREATE TABLE ledger (id {counted} PRIMARY KEY, counter_id VARCHAR(36) NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE outbox (event_id VARCHAR(36) PRIMARY KEY, body TEXT NOT NULL);
"""


def schema(kind: str) -> str:
    """The tables of those who make them by hand, for SQLite or PostgreSQL."""
    return _SCHEMA.format(counted="INTEGER" if kind == "sqlite" else "BIGINT GENERATED ALWAYS AS IDENTITY")


def counter_id(number: int) -> UUID:
    return UUID(int=number % COUNTERS)


@dataclass(frozen=True)
class Task:
    """One round, as a contestant's process gets it on the command line."""

    url: str
    store: str
    """SQLAlchemy's URL; its tables are there, except the chassis' own, which ours makes."""
    count: int

    @classmethod
    def from_arguments(cls) -> "Task":
        url, store, count = sys.argv[1:4]
        return cls(url, store, int(count))


class Stopwatch:
    """Wall and CPU time of this process, from `start` to `report`, which prints both for the parent."""

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self, **found: int) -> None:
        times = {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(
            json.dumps({**found, **times, "rss_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)}), flush=True
        )


def outgoing(incoming: dict[str, object]) -> tuple[str, bytes]:
    """Id and body of the event that an incoming one causes, by hand."""
    event_id = str(uuid4())
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/order",
        "type": TYPE_OUT,
        "subject": incoming["subject"],
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "correlationid": incoming["correlationid"],
        "causationid": incoming["id"],
        "aggregateversion": 1,
        "data": {"order_id": incoming["subject"]},
    }
    return event_id, json.dumps(body).encode()
