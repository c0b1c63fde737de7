"""The floor's stores for the hop: raw sqlite3 and asyncpg, one durable transaction for a batch."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import sqlalchemy as sa

from bench.durability import plain, set_full
from bench.hop.work import TYPE_IN

Out = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one event does: its id, the counter it raises, when, and the event it causes."""

    event_id: str
    counter: str
    now: str
    caused_id: str
    caused: bytes


class RawStore(Protocol):
    """What the floor asks of a store."""

    async def commit(self, effects: Sequence[Effect], published: Sequence[str]) -> Out:
        """Do the effects of the events not seen before, forget the published ones; what is to be published next."""

    async def close(self) -> None: ...


class SqliteStore:
    """Row by row, on the event loop: no statement leaves the process."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        set_full(self._connection)

    async def commit(self, effects: Sequence[Effect], published: Sequence[str]) -> Out:
        store, out = self._connection, Out()
        store.execute("BEGIN IMMEDIATE")
        store.executemany("DELETE FROM outbox WHERE event_id = ?", [(event_id,) for event_id in published])
        for effect in effects:
            seen = store.execute(
                "INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)", (effect.event_id, TYPE_IN, effect.now)
            ).rowcount
            if not seen:
                continue
            store.execute(
                "INSERT INTO counters VALUES (?, 1, 1)"
                " ON CONFLICT DO UPDATE SET value = value + 1, version = version + 1",
                (effect.counter,),
            )
            store.execute("INSERT INTO ledger (counter_id, amount) VALUES (?, 1)", (effect.counter,))
            store.execute("INSERT INTO outbox VALUES (?, ?)", (effect.caused_id, effect.caused.decode()))
            out.append((effect.caused_id, effect.caused))
        store.execute("COMMIT")
        return out

    async def close(self) -> None:
        self._connection.close()


class PostgresStore:
    """Statement by statement for the whole batch: a round trip costs more than a row."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def commit(self, effects: Sequence[Effect], published: Sequence[str]) -> Out:
        store = self._connection
        async with store.transaction():
            if published:
                await store.execute("DELETE FROM outbox WHERE event_id = ANY($1::text[])", published)
            fresh = await store.fetch(
                "INSERT INTO inbox SELECT id, $2, $3 FROM unnest($1::text[]) AS id"
                " ON CONFLICT DO NOTHING RETURNING event_id",
                [effect.event_id for effect in effects],
                TYPE_IN,
                effects[0].now if effects else "",
            )
            known = {row["event_id"] for row in fresh}
            done = [effect for effect in effects if effect.event_id in known]
            if done:
                await self._write(done)
        return [(effect.caused_id, effect.caused) for effect in done]

    async def _write(self, done: Sequence[Effect]) -> None:
        store, counters = self._connection, [effect.counter for effect in done]
        await store.execute(
            "INSERT INTO counters SELECT id, count(*), count(*) FROM unnest($1::text[]) AS id GROUP BY id"
            " ON CONFLICT (id) DO UPDATE SET value = counters.value + excluded.value,"
            " version = counters.version + excluded.version",
            counters,
        )
        await store.execute(
            "INSERT INTO ledger (counter_id, amount) SELECT id, 1 FROM unnest($1::text[]) AS id", counters
        )
        await store.execute(
            "INSERT INTO outbox SELECT * FROM unnest($1::text[], $2::text[])",
            [effect.caused_id for effect in done],
            [effect.caused.decode() for effect in done],
        )

    async def close(self) -> None:
        await self._connection.close()


async def open_raw(url: str) -> RawStore:
    """The store at SQLAlchemy's URL, whose tables are there."""
    where = sa.make_url(url)
    if where.get_backend_name() == "sqlite":
        return SqliteStore(where.database or "")
    return PostgresStore(await asyncpg.connect(plain(url)))
