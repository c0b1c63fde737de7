"""What is measured while the load runs: one row per request, per accepted order, per paid order, and the backlog."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "again", "no", "refused", "unknown"]
"""Done; a temporary refusal (429, 5xx); a final refusal; nothing was sent; sent and not answered."""


class Stopwatch:
    """Seconds since the load began."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def restart(self) -> None:
        """The load begins now."""
        self._begun = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._begun


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, begun at `at`, that took `seconds`; `attempt` 1 is the first with its key."""

    at: float
    service: str
    call: str
    seconds: float
    outcome: Outcome
    attempt: int
    status: int

    @property
    def failed(self) -> bool:
        """Whether the service was not there, or said that it could not."""
        return self.outcome in {"refused", "unknown"} or self.status >= 500


@dataclass(slots=True)
class Offer:
    """A customer who came at `at`; the rest is None as long as it has not happened."""

    at: float
    accepted: float | None = None
    attempts: int = 0
    paid: float | None = None
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at `at`: events in outboxes and in inboxes (None: could not be asked)."""

    at: float
    outbox: Mapping[str, int | None]
    inbox: Mapping[str, int] | None

    @property
    def total(self) -> int | None:
        """All of it, or None if a part is unknown."""
        if self.inbox is None or None in self.outbox.values():
            return None
        return sum(value or 0 for value in self.outbox.values()) + sum(self.inbox.values())


@dataclass(slots=True)
class Inflicted:
    """A fault as it happened: `healed` is when it was undone (the broker served again, the process was started)."""

    name: str
    kind: str
    begin: float
    healed: float | None = None
    note: str = ""


@dataclass(slots=True)
class Record:
    """Everything one run measured."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    asks: list[Ask] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    backlog: list[Backlog] = field(default_factory=list)
    faults: list[Inflicted] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What went wrong with the shop's conduct, apart from its books: a slow stop, an answer 500."""

    def begin(self) -> None:
        """The load begins: what was measured while preparing it does not count."""
        self.watch.restart()
        self.asks.clear()
