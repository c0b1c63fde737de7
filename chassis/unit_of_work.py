"""The unit of work: one transaction with its aggregates, its outbox, and nothing a handler could commit or publish.

A batch of jobs shares one unit of work: what an earlier job loaded or changed, a later one sees. Writes are gathered
and flushed once per batch, one statement per table.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.clock import Clock
from chassis.context import MessageContext
from chassis.discards import discards_table
from chassis.failpoints import Failpoints
from chassis.idempotency import IdempotencyLog, idempotency_table
from chassis.ids import Ids
from chassis.inbox import attempts_table, inbox_table
from chassis.outbox import OutboxWriter, outbox_table
from chassis.seedwork import AggregateRoot, DomainError, ErrorKind, NotFoundError
from chassis.sessions import Connection
from contracts.envelope import Event

AggregateT = TypeVar("AggregateT", bound=AggregateRoot)
KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class RuntimeTables:
    """The tables the chassis keeps in every service's store, beside the service's own."""

    metadata: sa.MetaData
    outbox: sa.Table
    inbox: sa.Table
    attempts: sa.Table
    idempotency: sa.Table
    discards: sa.Table


def runtime_tables(metadata: sa.MetaData) -> RuntimeTables:
    """Declare the chassis' tables in a service's metadata."""
    return RuntimeTables(
        metadata=metadata,
        outbox=outbox_table(metadata),
        inbox=inbox_table(metadata),
        attempts=attempts_table(metadata),
        idempotency=idempotency_table(metadata),
        discards=discards_table(metadata),
    )


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a unit of work stands on; made by the writer."""

    connection: Connection
    tables: RuntimeTables
    clock: Clock
    ids: Ids
    outbox: OutboxWriter
    failpoints: Failpoints


class ConcurrencyError(DomainError):
    """Another process changed the aggregate since it was loaded; the work is simply done again."""

    def __init__(self, table: str) -> None:
        super().__init__("concurrent-change", ErrorKind.UNAVAILABLE, f"{table} changed meanwhile.", retry_after=1)


class UnitOfWork:
    """One transaction. Services subclass it with their repositories; handlers read and change aggregates through it."""

    def __init__(self, transaction: Transaction) -> None:
        self.connection = transaction.connection
        self.tables = transaction.tables
        self.idempotency = IdempotencyLog(
            transaction.connection, transaction.tables.idempotency, transaction.failpoints
        )
        self._clock = transaction.clock
        self._ids = transaction.ids
        self._outbox = transaction.outbox
        self._repositories: list[Flushable] = []
        self._touched: list[AggregateRoot] = []
        self._appended: dict[sa.Table, list[dict[str, Any]]] = {}
        self._deferred: dict[sa.Executable, list[dict[str, Any]]] = {}
        self._events: list[tuple[Event, int]] = []
        self._after_commit: list[Callable[[], None]] = []
        self.context = MessageContext(correlation_id=UUID(int=0))
        self.now = transaction.clock.now()
        self.emitted = 0

    def new_id(self) -> UUID:
        return self._ids.new()

    def append(self, table: sa.Table, row: dict[str, Any]) -> None:
        """Insert an append-only row (a ledger or timeline entry) with the batch's flush."""
        self._appended.setdefault(table, []).append(row)

    def defer(self, statement: sa.Executable, rows: Sequence[dict[str, Any]]) -> None:
        """Run one statement for all these rows with the batch's flush; for marks that no handler reads back."""
        self._deferred.setdefault(statement, []).extend(rows)

    def publish(self, event: Event, version: int = 1) -> None:
        """Record a fact that belongs to no aggregate of this service."""
        self._events.append((event, version))

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` when, and only when, this transaction has committed: to refresh what is kept in memory."""
        self._after_commit.append(action)

    async def fetch(self, statement: sa.Executable) -> Sequence[RowMapping]:
        """Rows as this transaction sees them, its own unwritten changes included (they are flushed first)."""
        await self.flush()
        return (await self.connection.execute(statement)).mappings().all()

    async def execute(self, statement: sa.Executable) -> int:
        """Run a statement that changes rows in bulk; the number of rows it changed."""
        await self.flush()
        return (await self.connection.execute(statement)).rowcount

    async def preload(self, inputs: Sequence[object]) -> None:
        """Load what the batch's commands and events will need, one query per table. Optional; for speed only."""

    # What follows is for the writer, not for handlers.

    def register(self, repository: "Flushable") -> None:
        self._repositories.append(repository)

    def touch(self, aggregate: AggregateRoot) -> None:
        self._touched.append(aggregate)

    def begin_job(self, context: MessageContext) -> None:
        self.context = context
        self.now = self._clock.now()
        self._touched.clear()
        self._events.clear()

    def end_job(self) -> None:
        """Turn what the job's aggregates recorded into outbox rows, in the job's conversation."""
        for aggregate in self._touched:
            self._events.extend(aggregate.pull_events())
        rows = self._outbox.rows(self._events, self.context, self.now)
        if rows:
            self.emitted += len(rows)
            self._appended.setdefault(self.tables.outbox, []).extend(rows)
        self._touched.clear()
        self._events.clear()

    async def flush(self) -> None:
        """Write what changed: per table one insert, one update; then the append-only rows and the keys."""
        for repository in self._repositories:
            await repository.flush()
        appended, self._appended = self._appended, {}
        for table, rows in appended.items():
            await self.connection.execute(_insert_into(table), rows)
        deferred, self._deferred = self._deferred, {}
        for statement, rows in deferred.items():
            await self.connection.execute(statement, rows)
        await self.idempotency.flush()

    def committed(self) -> None:
        for action in self._after_commit:
            action()


class Flushable(Protocol):
    """Something that holds unwritten changes until the batch's flush."""

    async def flush(self) -> None: ...


class Repository(ABC, Generic[AggregateT, KeyT]):
    """Row ↔ aggregate for one table with a single-column key; each aggregate exists once per unit of work.

    Loaded rows are locked until the commit (SQLite: the whole store by BEGIN IMMEDIATE; PostgreSQL: FOR UPDATE), so
    that what a handler decides on cannot change under it. A `version` column, if there is one, is checked as well where
    the driver can tell how many rows a bulk update met.
    """

    table: ClassVar[sa.Table]
    key: ClassVar[str]
    what: ClassVar[str]

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow
        self._loaded: dict[KeyT, AggregateT | None] = {}
        self._written: dict[KeyT, dict[str, Any]] = {}
        uow.register(self)

    @abstractmethod
    def to_row(self, aggregate: AggregateT) -> dict[str, Any]:
        """The aggregate as a row of `table`."""

    @abstractmethod
    def from_row(self, row: RowMapping) -> AggregateT:
        """The aggregate in a row of `table`."""

    async def get(self, key: KeyT) -> AggregateT:
        """The aggregate with this key.

        Raises:
            NotFoundError: there is none.
        """
        aggregate = await self.find(key)
        if aggregate is None:
            raise NotFoundError(self.what)
        return aggregate

    async def find(self, key: KeyT) -> AggregateT | None:
        """The aggregate with this key, None if there is none."""
        if key not in self._loaded:
            await self.preload([key])
        aggregate = self._loaded[key]
        if aggregate is not None:
            self._uow.touch(aggregate)
        return aggregate

    async def get_many(self, keys: Iterable[KeyT]) -> dict[KeyT, AggregateT]:
        """Those of the aggregates that exist, loaded in one query and locked in the order of their keys."""
        wanted = list(dict.fromkeys(keys))
        await self.preload(wanted)
        found = {key: aggregate for key in wanted if (aggregate := self._loaded[key]) is not None}
        for aggregate in found.values():
            self._uow.touch(aggregate)
        return found

    async def preload(self, keys: Iterable[KeyT]) -> None:
        """Load what is not loaded yet, without marking it as used by the current job."""
        missing = set(keys) - self._loaded.keys()
        if not missing:
            return
        self._loaded.update(dict.fromkeys(missing))
        connection = self._uow.connection
        statement = _select_locked(self.table, self.key, connection.dialect.name)
        for row in (await connection.execute(statement, {"keys": sorted(missing, key=str)})).mappings():
            self._remember(row)

    async def select(self, condition: sa.ColumnElement[bool]) -> list[AggregateT]:
        """The aggregates a condition meets, in key order. Unwritten changes are flushed first, so it sees them."""
        await self._uow.flush()
        statement = sa.select(self.table).where(condition).order_by(self.table.c[self.key]).with_for_update()
        rows = (await self._uow.connection.execute(statement)).mappings().all()
        found = [self._remember(row) for row in rows]
        for aggregate in found:
            self._uow.touch(aggregate)
        return found

    def add(self, aggregate: AggregateT) -> None:
        """Take a new aggregate in."""
        self._loaded[self.to_row(aggregate)[self.key]] = aggregate
        self._uow.touch(aggregate)

    def loaded(self) -> list[AggregateT]:
        """Every aggregate of this unit of work, new ones included."""
        return [aggregate for aggregate in self._loaded.values() if aggregate is not None]

    async def flush(self) -> None:
        inserts: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        for key, aggregate in self._loaded.items():
            if aggregate is None:
                continue
            row = self.to_row(aggregate)
            before = self._written.get(key)
            if before is None:
                inserts.append(row)
            elif row != before:
                updates.append({**row, "b_key": key, "b_version": before.get("version")})
            self._written[key] = row
        if inserts:
            await self._uow.connection.execute(_insert_into(self.table), inserts)
        if updates:
            await self._update(updates)

    async def _update(self, rows: list[dict[str, Any]]) -> None:
        if "version" not in self.table.c:
            rows = [{name: value for name, value in row.items() if name != "b_version"} for row in rows]
        result = await self._uow.connection.execute(_update_one(self.table, self.key), rows)
        if result.supports_sane_multi_rowcount() and result.rowcount != len(rows):
            raise ConcurrencyError(self.table.name)

    def _remember(self, row: RowMapping) -> AggregateT:
        key: KeyT = row[self.key]
        known = self._loaded.get(key)
        if known is not None:
            return known
        aggregate = self.from_row(row)
        self._loaded[key] = aggregate
        self._written[key] = self.to_row(aggregate)
        return aggregate


# Built once per table: to put a statement together costs more than SQLite takes to run it.


@cache
def _insert_into(table: sa.Table) -> sa.Insert:
    """An insert of whole rows."""
    return table.insert()


@cache
def _select_locked(table: sa.Table, key: str, dialect: str) -> sa.Select[Any]:
    """The rows whose `key` is one of `:keys`, locked in the order of their keys.

    On PostgreSQL the keys are one array: a list would be another statement, to prepare once more, for each length.
    """
    column = table.c[key]
    if dialect == "postgresql":
        wanted = column == sa.any_(sa.bindparam("keys", type_=sa.ARRAY(column.type)))
    else:
        wanted = column.in_(sa.bindparam("keys", expanding=True))
    return sa.select(table).where(wanted).order_by(column).with_for_update()


@cache
def _update_one(table: sa.Table, key: str) -> sa.Update:
    """Write the row with the key `:b_key`, as long as it still has the version `:b_version` (if there are versions)."""
    statement = table.update().where(table.c[key] == sa.bindparam("b_key"))
    if "version" in table.c:
        statement = statement.where(table.c.version == sa.bindparam("b_version"))
    return statement
