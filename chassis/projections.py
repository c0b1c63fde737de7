"""Projections: tables a service keeps of other services' facts, and therefore can make again from their events.

A rebuild runs the same handlers over the journal and compares. What a service decided itself is in no event of others,
so it is no projection, or an `own` column of one.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.db import Reader
from chassis.writer import EventHandler
from contracts.envelope import Event

PAGE: Final = 2_000
CHUNK: Final = 500

ItemT = TypeVar("ItemT")

Digests = dict[str, bytes]
"""By a row's key, in canonical text: the SHA-256 of what is compared of the row."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A table, and the events whose handlers fill it: those the service subscribes them with, or those of `kept_by`.

    Args:
        table: it has a key of one column.
        fed_by: every event that writes to it.
        own: columns with facts of this service's own; a rebuild neither compares nor touches them.
        stamped: the column that says when the row was written here; set anew when a rebuild writes.
        until: the column that says when a row has lost its meaning; such rows may be gone and are left out.
        kept_by: handlers that only keep, for events whose subscribed handlers keep and then react.
        in_parts: each event fills in part of its row, whose key is the events' subject. A row whose first events the
            journal no longer has cannot be judged then; where every event tells all, the newest is enough.
    """

    table: sa.Table
    fed_by: tuple[type[Event], ...]
    own: frozenset[str] = frozenset()
    stamped: str | None = None
    until: str | None = None
    kept_by: Mapping[type[Event], EventHandler[Any]] = field(default_factory=dict)
    in_parts: bool = False
    key: sa.Column[Any] = field(init=False)

    def __post_init__(self) -> None:
        [key] = self.table.primary_key.columns
        object.__setattr__(self, "key", key)

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns that are functions of the events."""
        return tuple(c.name for c in self.table.columns if c.name not in self.own and c.name != self.stamped)

    def key_of(self, row: RowMapping) -> str:
        """The row's key as canonical text."""
        return canonical(row[self.key.name])

    def value_of(self, key: str) -> Any:
        """The key as the column has it."""
        return self.key.type.python_type(json.loads(key))

    def subject_of(self, key: str) -> str:
        """What the events about this row have as their subject."""
        return str(json.loads(key))

    def digest(self, row: RowMapping) -> bytes:
        """Stands for everything that is compared of the row."""
        return hashlib.sha256(canonical([row[name] for name in self.compared]).encode()).digest()

    def means_nothing(self, row: RowMapping, now: datetime) -> bool:
        """Whether the row may be pruned."""
        return self.until is not None and bool(row[self.until] <= now)


async def rows_of(reader: Reader, projection: Projection) -> AsyncIterator[tuple[str, RowMapping]]:
    """Every row under its key, read page by page: what is written meanwhile may or may not be among them."""
    key, last = projection.key, None
    while True:
        page = sa.select(projection.table).order_by(key).limit(PAGE)
        rows = await reader.all(page if last is None else page.where(key > last))
        for row in rows:
            yield projection.key_of(row), row
        if len(rows) < PAGE:
            return
        last = rows[-1][key.name]


async def digests(reader: Reader, projection: Projection, now: datetime) -> Digests:
    """What the table holds, without the rows that mean nothing any more."""
    rows = rows_of(reader, projection)
    return {key: projection.digest(row) async for key, row in rows if not projection.means_nothing(row, now)}


def fingerprint(found: Mapping[str, bytes], *, without: Set[str] = frozenset()) -> str:
    """One SHA-256 for a table, the same on every database and in every order of writing."""
    whole = hashlib.sha256()
    for key in sorted(found.keys() - without):
        whole.update(key.encode() + b"\t" + found[key] + b"\n")
    return whole.hexdigest()


def chunks(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """A long list in pieces that fit one query."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def canonical(value: object) -> str:
    """A value of a row as JSON that both databases agree on."""
    return json.dumps(value, default=_plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case bytes():
            return value.hex()
        case Enum():
            return value.value
        case _:
            return str(value)
