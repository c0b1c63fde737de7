"""Rebuilt rows into the live store, in the writer's transaction, and only over what was compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.projections import Projection, chunks
from chassis.unit_of_work import UnitOfWork

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What to mend in one table: `before` is what each row was when it was compared (None: not there), `rows` what
    it should be. A key without a row is to be deleted."""

    projection: Projection
    before: Mapping[str, bytes | None]
    rows: Mapping[str, RowMapping]


@dataclass(slots=True)
class Mended:
    """How many rows were written and deleted."""

    written: int = 0
    deleted: int = 0


@dataclass(slots=True)
class _Work:
    inserts: list[Row] = field(default_factory=list)
    updates: list[Row] = field(default_factory=list)
    deletes: list[Any] = field(default_factory=list)


async def swap(difference: Difference, uow: UnitOfWork) -> Mended:
    """Mend one table. A row that has changed since it was compared is left alone: an event did that."""
    mended = Mended()
    for keys in chunks(sorted(difference.before)):
        work = await _sort_out(difference, keys, uow)
        await _write(difference.projection, work, uow)
        mended.written += len(work.inserts) + len(work.updates)
        mended.deleted += len(work.deletes)
    return mended


async def _sort_out(difference: Difference, keys: Sequence[str], uow: UnitOfWork) -> _Work:
    projection, work = difference.projection, _Work()
    values = [projection.value_of(key) for key in keys]
    locked = sa.select(projection.table).where(projection.key.in_(values)).order_by(projection.key).with_for_update()
    now = {projection.key_of(row): row for row in await uow.fetch(locked)}
    stamp = {} if projection.stamped is None else {projection.stamped: uow.now}
    for key in keys:
        row, wanted = now.get(key), difference.rows.get(key)
        is_there = row is not None and not projection.means_nothing(row, uow.now)
        if (projection.digest(row) if row is not None and is_there else None) != difference.before[key]:
            continue
        if wanted is None:
            if row is not None and all(row[name] is None for name in projection.own):
                work.deletes.append(row[projection.key.name])
        elif row is None:
            work.inserts.append({**wanted, **stamp})
        else:
            work.updates.append({f"new_{name}": wanted[name] for name in projection.compared} | stamp)
    return work


async def _write(projection: Projection, work: _Work, uow: UnitOfWork) -> None:
    table, key = projection.table, projection.key
    if work.deletes:
        await uow.execute(table.delete().where(key.in_(work.deletes)))
    if work.inserts:
        await uow.connection.execute(table.insert(), work.inserts)
    if work.updates:
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in projection.compared if name != key.name}
        if projection.stamped is not None:
            values[projection.stamped] = sa.bindparam(projection.stamped)
        statement = table.update().where(key == sa.bindparam(f"new_{key.name}")).values(values)
        await uow.connection.execute(statement, work.updates)
