"""What the runtime tells about itself as it works; metrics implement it, tests may listen in, the default is deaf."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta


class Observer:
    """Every method is called on the event loop and must return at once."""

    def published(self, event_type: str, outcome: str) -> None:
        """The relay got an answer for one event: `ack`, `returned`, `nacked` or `unknown`."""

    def parked(self, event_type: str) -> None:
        """The relay gave up on an outbox row until an operator looks at it."""

    def consumed(self, event_type: str, result: str) -> None:
        """One delivery is settled: `handled`, `duplicate`, `retried` or `dead`. A type nobody knows is `unknown`."""

    def hop(self, event_type: str, age: timedelta) -> None:
        """How old an event was when its effect was committed."""

    def retried(self, tier: str) -> None:
        """A delivery waits in a retry tier."""

    def swept(self, sweep: str, found: int) -> None:
        """A periodic task ran and dealt with `found` things."""

    def batch(self, jobs: int, seconds: float) -> None:
        """The writer committed a transaction of `jobs` jobs in `seconds`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a service's own that is looked up when somebody asks, by one label: open orders by their status.

    `look` tells a number for every value the label can have, so that none stays as it was.
    """

    name: str
    text: str
    label: str
    look: Callable[[], Awaitable[Mapping[str, float]]]
