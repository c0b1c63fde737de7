"""Where an audit gets its figures: a port with an adapter per way to reach a shop, and how lists are read."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from ops.config import PREFIXES

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BrokerFigures:
    """What lies in the queues. `stale_seconds`: how old the counts may be.

    `waiting` counts the messages of inboxes and retry tiers by queue, `dead` the dead letters by service, `consumers`
    by service. `dead_ids` has the event ids of the dead letters that could be read.
    """

    waiting: Mapping[str, int]
    dead: Mapping[str, int]
    consumers: Mapping[str, int]
    dead_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stale_seconds: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is on its way to a reader, as far as the counts know."""
        return not any(self.waiting.values())


class Source(Protocol):
    """A shop to ask, as an operator."""

    async def get(self, service: str, path: str) -> Any:
        """The JSON document at `path` of a service; None if it has none: no such route, or no provider to ask now."""
        ...

    async def broker(self) -> BrokerFigures | None:
        """The broker's figures; None if it cannot be asked."""
        ...


def path_of(service: str, what: str = "", **parameters: int | str | None) -> str:
    """The path of a service's audit route, parameters that are None left out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    query = f"?{urlencode(given)}" if given else ""
    return f"{PREFIXES[service]}/audit{what}{query}"


async def pages(source: Source, service: str, what: str, **parameters: int | str | None) -> AsyncIterator[Row]:
    """The pages of a list, one after the other: none if the service has no such list."""
    after: str | None = None
    while True:
        # An explicit `after` is where the caller wants to begin.
        asked = parameters if after is None else {**parameters, "after": after}
        page = await source.get(service, path_of(service, what, **asked))
        if page is None:
            return
        yield page
        after = page["next"]
        if after is None:
            return


async def rows(source: Source, service: str, what: str, **parameters: int | str | None) -> list[Row]:
    """All rows of a list that is known to be short."""
    return [row async for page in pages(source, service, what, **parameters) for row in page["items"]]
