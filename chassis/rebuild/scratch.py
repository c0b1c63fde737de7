"""Where a rebuild works: a store of its own that holds nothing but projections, and handlers that can do nothing else.

Nothing of the live store is within reach. The unit of work has no outbox, makes no ids, is never told that it was
committed, and finds no table but the projections'; whatever a handler tries beyond them stops the rebuild.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from chassis.context import MessageContext
from chassis.db import Store
from chassis.failpoints import Failpoints
from chassis.inbox import claim
from chassis.outbox import OutboxWriter
from chassis.projections import Projection, chunks, rows_of
from chassis.retry import describe
from chassis.runtime import ServiceDefinition
from chassis.sessions import WriteSession
from chassis.unit_of_work import Transaction
from contracts.envelope import Envelope, Event

Told = tuple[Envelope, Event]

_beginnings: Final = sa.Table("beginnings", sa.MetaData(), sa.Column("subject", sa.String(80), primary_key=True))


class SideEffectError(Exception):
    """A handler that feeds a projection did more than that: it is no projection."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An event whose handler raised: the live service has it in its dead queue, without an effect."""

    event_id: UUID
    type: str
    error: str


class Scratch:
    """Takes events in, once each, as the service would."""

    def __init__(self, definition: ServiceDefinition[Any], store: Store, session: WriteSession) -> None:
        self.reader = store.reader
        self._definition = definition
        self._handlers = dict(definition.subscriptions)
        for projection in definition.projections:
            self._handlers |= projection.kept_by
        self._session = session
        self._time = _TimeOfEvent()
        self._ids = _NoIds()
        self._outbox = _NoOutbox("/rebuild", self._ids)
        self._failpoints = Failpoints("none")

    async def take_in(self, events: Sequence[Told]) -> list[Refused]:
        """Run the handlers of these events in order; those that raised, by themselves, without an effect.

        Raises:
            SideEffectError: a handler tried to publish or to write elsewhere.
        """
        try:
            await self._run(events)
        except (SideEffectError, OperationalError, OSError):
            raise  # the handler's reach or our own disk, not this event
        except Exception as error:
            if len(events) > 1:
                return [refused for each in events for refused in await self.take_in([each])]
            envelope, _ = events[0]
            return [Refused(envelope.id, envelope.type, f"{type(error).__name__}: {describe(error)}")]
        return []

    async def note_beginnings(self, subjects: Sequence[str]) -> None:
        """Remember that the first events of these aggregates were here."""
        if subjects:
            async with self._session.transaction() as connection:
                statement = sqlite.insert(_beginnings).on_conflict_do_nothing()
                await connection.execute(statement, [{"subject": subject} for subject in subjects])

    async def without_beginning(self, subjects: Iterable[str]) -> set[str]:
        """Those of the aggregates whose first events were not."""
        unknown = set(subjects)
        for some in chunks(sorted(unknown)):
            rows = await self.reader.all(sa.select(_beginnings).where(_beginnings.c.subject.in_(some)))
            unknown -= {row["subject"] for row in rows}
        return unknown

    async def rows(self, projection: Projection, keys: Sequence[str]) -> Mapping[str, RowMapping]:
        """The rebuilt rows with these keys."""
        wanted = set(keys)
        return {key: row async for key, row in rows_of(self.reader, projection) if key in wanted}

    async def _run(self, events: Sequence[Told]) -> None:
        try:
            async with self._session.transaction() as connection:
                parts = Transaction(
                    connection, self._definition.tables, self._time, self._ids, self._outbox, self._failpoints
                )
                await self._handle(events, parts)
        except OperationalError as error:
            if "no such table" not in str(error.orig):
                raise
            types = ", ".join(sorted({envelope.type for envelope, _ in events}))
            raise SideEffectError(
                f"a handler of {types} uses a table that is no projection fed by it: {error.orig}"
            ) from error

    async def _handle(self, events: Sequence[Told], parts: Transaction) -> None:
        ids = [(envelope.id, envelope.type) for envelope, _ in events]
        fresh = await claim(parts.connection, self._definition.tables.inbox, ids, self._time.now())
        uow = self._definition.uow(parts)
        await uow.preload([event for envelope, event in events if envelope.id in fresh])
        for envelope, event in events:
            if envelope.id in fresh:
                fresh.discard(envelope.id)
                self._time.moment = envelope.time
                uow.begin_job(MessageContext(envelope.correlationid, envelope.id))
                await self._handlers[type(event)](event, uow)
                uow.end_job()
        await uow.flush()


@asynccontextmanager
async def scratch(definition: ServiceDefinition[Any]) -> AsyncIterator[Scratch]:
    """An empty scratch for a service's projections, in a temporary SQLite file that goes with it."""
    tables = [projection.table for projection in definition.projections]
    with TemporaryDirectory(prefix="rebuild-") as folder:
        path = Path(folder) / "scratch.db"
        await asyncio.to_thread(_create, path, [*tables, definition.tables.inbox, _beginnings])
        store = Store(f"sqlite+aiosqlite:///{path}")
        session = await store.open_session()
        try:
            yield Scratch(definition, store, session)
        finally:
            await session.close()
            await store.close()


def _create(path: Path, tables: Sequence[sa.Table]) -> None:
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        for table in tables:
            table.create(connection)


class _NoOutbox(OutboxWriter):
    """Where an outbox would be."""

    def rows(self, events: Sequence[tuple[Event, int]], context: MessageContext, now: datetime) -> list[dict[str, Any]]:
        if events:
            raise SideEffectError(f"a handler published {events[0][0].wire_name} while feeding a projection")
        return []


class _NoIds:
    """Ids are made up, not told: a projection that needs one could not be made again."""

    def new(self) -> NoReturn:
        raise SideEffectError("a handler made an id while feeding a projection")


class _TimeOfEvent:
    """The time is that of the event, so that a rebuild gives the same today and tomorrow."""

    def __init__(self) -> None:
        self.moment = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment
