"""Named points at every border of delivery where a test can make the process die or an exception appear.

`FAILPOINT=order.relay.after_publish:kill@2` kills order_svc the second time its relay gets there; `:raise` throws
instead. Several are separated by commas. `FAILPOINT=@FILE` takes them from a file, read again at each SIGUSR1, so that
a running process can be armed and its hits counted from then on. `FAILPOINT_TRACE=FILE` notes there which points were
reached and which of them struck. Without either a point costs one dictionary look-up.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from contracts.registry import SERVICES

POINTS: Final = MappingProxyType(
    {
        "idempotency.before_store": "the effect of a request is written, its key and answer are not yet",
        "idempotency.after_store": "both are written, nothing is committed",
        "writer.before_commit": "all statements of a batch have run",
        "writer.after_commit": "the batch is committed; nobody has been answered, the relay not woken",
        "relay.after_select": "a window of events was read, none is published",
        "relay.after_publish": "the broker has answered for each, no answer has been looked at",
        "relay.after_confirm": "what was confirmed counts as sent, in memory only",
        "relay.before_mark": "the marks are about to be written",
        "relay.after_mark": "the marks are committed",
        "consumer.before_handle": "a delivery was decoded; its transaction has not begun",
        "consumer.after_inbox": "the ids of a batch are in the inbox, no handler has run",
        "consumer.before_ack": "a batch is committed, nothing is acknowledged",
        "consumer.after_ack": "the batch is acknowledged",
        "consumer.before_retry": "deliveries failed; the messages for a retry tier or the dead queue are not published",
        "consumer.after_retry": "those are published, the deliveries not acknowledged",
        "sweep.before": "a sweep is due",
        "sweep.after": "what it found is committed",
        "provider.before_call": "an operation is committed, the provider does not know of it",
        "provider.after_call": "the provider has answered, in memory only",
        "provider.before_result": "the answer is taken in, not committed",
    }
)
"""Each point and what is true there."""


class FailpointError(RuntimeError):
    """A failpoint was asked to raise."""


@dataclass(slots=True)
class _Watch:
    """A point somebody is interested in: what to do at which hit."""

    actions: dict[int, str] = field(default_factory=dict)
    hits: int = 0


class Failpoints:
    """The failpoints of one service, armed from a specification like `order.relay.after_publish:kill@2`."""

    def __init__(self, service: str, specification: str = "", *, trace: Path | None = None) -> None:
        self._service = service
        self._trace = trace
        self._watched: dict[str, _Watch] = {}
        self.arm(specification)

    @classmethod
    def from_environment(cls, service: str, environment: Mapping[str, str] = os.environ) -> "Failpoints":
        """As `FAILPOINT` and `FAILPOINT_TRACE` say.

        Raises:
            ValueError: `FAILPOINT` names no such service, point or action.
        """
        specification, trace = environment.get("FAILPOINT", ""), environment.get("FAILPOINT_TRACE")
        from_file = specification.startswith("@")
        failpoints = cls(service, "" if from_file else specification, trace=Path(trace) if trace else None)
        if from_file:
            failpoints.follow(Path(specification[1:]))
        return failpoints

    def follow(self, file: Path) -> None:
        """Take the specification from a file, now and whenever this process gets SIGUSR1."""

        def read(*_: object) -> None:
            self.arm(file.read_text().strip() if file.exists() else "")

        read()
        signal.signal(signal.SIGUSR1, read)

    def arm(self, specification: str) -> None:
        """Replace what is armed, and count hits from here.

        Raises:
            ValueError: the specification names no such service, point or action.
        """
        watched = {point: _Watch() for point in POINTS} if self._trace is not None else {}
        for item in filter(None, specification.split(",")):
            owner, point, verb, on_hit = _parse(item)
            if owner == self._service:
                watched.setdefault(point, _Watch()).actions[on_hit] = verb
        self._watched = watched
        self._note("armed")

    def hit(self, point: str) -> None:
        """Pass a point; does nothing unless it is armed.

        Raises:
            FailpointError: the point is armed with `raise` and this is the hit it waits for.
        """
        watch = self._watched.get(point)
        if watch is None:
            return
        watch.hits += 1
        if watch.hits == 1:
            self._note(point)
        action = watch.actions.get(watch.hits)
        if action is None:
            return
        self._note(f"{point}:{action}@{watch.hits}")
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointError(point)

    def _note(self, what: str) -> None:
        """One appended line; the kernel keeps it when the process dies."""
        if self._trace is not None:
            with self._trace.open("a") as file:
                file.write(f"{self._service}.{what}\n")


def _parse(item: str) -> tuple[str, str, str, int]:
    name, _, action = item.partition(":")
    owner, _, point = name.partition(".")
    verb, _, count = action.partition("@")
    known = owner in SERVICES and point in POINTS and verb in {"kill", "raise"}
    if not known or not (count or "1").isdecimal():
        raise ValueError(f"unknown failpoint {item!r}: SERVICE.POINT:kill|raise[@HIT], points are {', '.join(POINTS)}")
    return owner, point, verb, int(count or 1)
