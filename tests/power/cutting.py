"""Cuts the power of a recorded run at chosen moments and looks at what is left."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

from tests.power.disk import Disk, lay_out
from tests.power.trace import Event, Send

CREATED: Final = b"HTTP/1.1 201 "
_LOCATION: Final = re.compile(rb"location: /\w+/([0-9a-f-]{36})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Left:
    """What a store holds after the cut: what was made, of which the outbox tells, and which has its key."""

    made: Set[UUID]
    told: Set[UUID]
    keyed: Set[UUID]


@dataclass(slots=True)
class Toll:
    """How many images were looked at, and how many times something that had been answered was missing from one."""

    images: int = 0
    lost: int = 0


Look = Callable[[sqlite3.Connection], Left]


def orders_left(store: sqlite3.Connection) -> Left:
    return Left(
        made=_ids(store, "SELECT id FROM orders"),
        told=_ids(store, "SELECT aggregate_id FROM outbox WHERE type = 'order.placed.v1'"),
        keyed=_ids(store, "SELECT json_extract(body, '$.id') FROM idempotency_keys"),
    )


def payments_left(store: sqlite3.Connection) -> Left:
    """Payments whose outcome is known; one that is still being made has a key without an answer."""
    event_id = "json_extract(body, '$.data.payment_id')"
    return Left(
        made=_ids(store, "SELECT id FROM payments WHERE state = 'authorized'"),
        told=_ids(store, f"SELECT {event_id} FROM outbox WHERE type = 'payment.authorized.v1'"),  # noqa: S608 - ours
        keyed=_ids(store, "SELECT json_extract(body, '$.id') FROM idempotency_keys WHERE status = 201"),
    )


def cut_at_every_answer(disk: Disk, run: Iterable[Event], folder: Path, look: Look, *, cuts: int) -> Toll:
    """Cut right after each 201, in so many ways.

    Raises:
        AssertionError: a store is damaged, or holds an effect without its event or its key.
    """
    answered: set[UUID] = set()
    toll = Toll()
    for event in run:
        disk.see(event)
        if isinstance(event, Send) and event.data.startswith(CREATED):
            answered.add(_answered(event))
            for seed in range(cuts):
                lay_out(disk.cut(Random(f"{len(answered)}/{seed}")), folder)
                toll.images += 1
                toll.lost += bool(answered - look_at(folder / disk.store, look).made)
    return toll


def look_at(path: Path, look: Look) -> Left:
    """Open what was found: the store mends itself, is sound, and everything in it is whole."""
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA synchronous=OFF")  # this copy is only looked at
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        left = look(store)
    assert left.made == left.told == left.keyed
    return left


def _answered(head: Send) -> UUID:
    location = _LOCATION.search(head.data)
    assert location is not None, head.data
    return UUID(location[1].decode())


def _ids(store: sqlite3.Connection, query: str) -> Set[UUID]:
    return {UUID(row[0]) for row in store.execute(query)}
