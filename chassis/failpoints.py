"""Named points at every border of delivery where a test can make the process die or an exception appear.

`FAILPOINT=order.relay.after_publish:kill@2` kills order_svc the second time its relay gets there;
`:raise` throws instead. Several are separated by commas. Without the variable a point costs one dictionary look-up.
"""

import os
import signal
from dataclasses import dataclass
from typing import Final

POINTS: Final = (
    "writer.before_commit",
    "writer.after_commit",
    "relay.after_select",
    "relay.after_publish",
    "relay.after_mark",
    "consumer.before_handle",
    "consumer.before_ack",
    "consumer.after_ack",
    "sweep.before",
    "sweep.after",
    "provider.before_call",
    "provider.after_call",
)


class FailpointError(RuntimeError):
    """A failpoint was asked to raise."""


@dataclass(slots=True)
class _Trigger:
    action: str
    on_hit: int
    hits: int = 0


class Failpoints:
    """The failpoints of one service, armed from a specification like `order.relay.after_publish:kill@2`."""

    def __init__(self, service: str, specification: str = "") -> None:
        self._triggers: dict[str, _Trigger] = {}
        for item in filter(None, specification.split(",")):
            name, _, action = item.partition(":")
            owner, _, point = name.partition(".")
            verb, _, count = action.partition("@")
            if point not in POINTS or verb not in {"kill", "raise"}:
                raise ValueError(f"unknown failpoint {item!r}: SERVICE.POINT:kill|raise[@HIT], points are {POINTS}")
            if owner == service:
                self._triggers[point] = _Trigger(verb, int(count or 1))

    @classmethod
    def from_environment(cls, service: str) -> "Failpoints":
        return cls(service, os.environ.get("FAILPOINT", ""))

    def hit(self, point: str) -> None:
        """Pass a point; does nothing unless it is armed.

        Raises:
            FailpointError: the point is armed with `raise` and this is the hit it waits for.
        """
        trigger = self._triggers.get(point)
        if trigger is None:
            return
        trigger.hits += 1
        if trigger.hits != trigger.on_hit:
            return
        if trigger.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointError(point)
