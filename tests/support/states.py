"""What a store holds, table by table, to compare before and after."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from chassis.db import Reader
from chassis.projections import canonical


async def dump_store(reader: Reader, metadata: sa.MetaData, *, without: Collection[str] = ()) -> dict[str, list[str]]:
    """Every row of every table in canonical text, sorted. `without` names tables, or columns as `table.column`."""
    tables = [table for table in metadata.sorted_tables if table.name not in without]
    return {table.name: await _rows(reader, table, without) for table in tables}


async def _rows(reader: Reader, table: sa.Table, without: Collection[str]) -> list[str]:
    columns = [column for column in table.columns if f"{table.name}.{column.name}" not in without]
    rows: list[dict[str, Any]] = [dict(row) for row in await reader.all(sa.select(*columns))]
    return sorted(canonical(row) for row in rows)
