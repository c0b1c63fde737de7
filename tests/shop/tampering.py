"""Breaking a shop's stores behind its back, as no service ever should, and putting them right again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from chassis.unit_of_work import RuntimeTables, UnitOfWork
from contracts.registry import SERVICES
from tests.shop.shop import Shop

Rows = dict[sa.Table, list[dict[str, Any]]]

_GUARDS: Final = {
    "sqlite": ("DROP TRIGGER ledger_no_update", "DROP TRIGGER ledger_no_delete"),
    "postgresql": ("DROP TRIGGER ledger_append_only ON ledger",),
}
_INDEXES: Final = ("uq_payments_one_capture_per_order", "uq_payments_one_active_per_order")


class Vandal:
    """Writes what it likes into a service's store."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def tables(self, service: str) -> RuntimeTables:
        """The chassis' tables of a service."""
        tables: RuntimeTables = self._shop.runtime(service).definition.tables
        return tables

    async def execute(self, service: str, statement: sa.Executable) -> None:
        """A statement that must change something."""

        async def change(uow: UnitOfWork) -> None:
            assert await uow.execute(statement) > 0, f"nothing to tamper with: {statement}"

        await self._shop.runtime(service).writer.run_now(change)

    async def row(self, service: str, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> dict[str, Any]:
        """The first row of a table that meets the conditions."""
        row = await self._shop.runtime(service).reader.first(sa.select(table).where(*conditions))
        assert row is not None
        return dict(row)

    async def event(self, service: str, wire_name: str, about: str) -> UUID:
        """The id of an event in a service's outbox."""
        outbox = self._shop.runtime(service).definition.tables.outbox
        row = await self.row(service, outbox, outbox.c.type == wire_name, outbox.c.correlation_id == UUID(about))
        event_id: UUID = row["event_id"]
        return event_id


async def remove_guards(shop: Shop) -> None:
    """What the payment store refuses by itself: a second capture, a change of the ledger."""
    runtime = shop.runtime("payment")
    indexes = (f"DROP INDEX {name}" for name in _INDEXES)

    async def drop(uow: UnitOfWork) -> None:
        for statement in (*_GUARDS[runtime.store.dialect], *indexes):
            await uow.execute(sa.text(statement))

    await runtime.writer.run_now(drop)


@asynccontextmanager
async def put_right_afterwards(shop: Shop) -> AsyncIterator[Vandal]:
    """Every row of every store is again what it was."""
    before = {service: await _rows(shop, service) for service in SERVICES}
    try:
        yield Vandal(shop)
    finally:
        for service, rows in before.items():
            if await _rows(shop, service) != rows:
                await _restore(shop, service, rows)


async def _rows(shop: Shop, service: str) -> Rows:
    runtime = shop.runtime(service)
    tables = runtime.definition.tables.metadata.sorted_tables
    return {table: [dict(row) for row in await runtime.reader.all(sa.select(table))] for table in tables}


async def _restore(shop: Shop, service: str, rows: Rows) -> None:
    async def write(uow: UnitOfWork) -> None:
        for table in reversed(rows):
            await uow.execute(table.delete())
        for table, kept in rows.items():
            for row in kept:
                uow.append(table, row)

    await shop.runtime(service).writer.run_now(write)
