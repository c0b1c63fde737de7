"""The migrations make exactly the tables the code uses, and take them away again."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from catalog_svc.tables import metadata
from chassis.migrate import alembic_config, migrate

T = TypeVar("T")


async def test_the_migrated_store_equals_the_metadata(store_url: str) -> None:
    await asyncio.to_thread(migrate, "catalog_svc", store_url)
    assert await inspected(store_url, differences) == []
    assert await inspected(store_url, checks) == {
        table.name: {str(c.name) for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        for table in metadata.sorted_tables
    }


async def test_the_migration_can_be_undone(store_url: str) -> None:
    await asyncio.to_thread(migrate, "catalog_svc", store_url)
    await asyncio.to_thread(command.downgrade, alembic_config("catalog_svc", store_url), "base")
    assert await inspected(store_url, lambda connection: sa.inspect(connection).get_table_names()) == [
        "alembic_version"
    ]


async def inspected(url: str, look: Callable[[sa.Connection], T]) -> T:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        result = await connection.run_sync(look)
    await engine.dispose()
    return result


def differences(connection: sa.Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def checks(connection: sa.Connection) -> dict[str, set[str]]:
    """The names of the CHECK constraints by table; alembic does not compare those."""
    inspector = sa.inspect(connection)
    return {
        table.name: {str(check["name"]) for check in inspector.get_check_constraints(table.name)}
        for table in metadata.sorted_tables
    }
