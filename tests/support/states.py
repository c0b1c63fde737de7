"""What a store holds, table by table, to compare before and after."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from chassis.db import Reader
from chassis.projections import canonical


async def dump_store(reader: Reader, metadata: sa.MetaData, *, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """Every row of every table in canonical text, sorted."""
    tables = [table for table in metadata.sorted_tables if table.name not in set(without)]
    return {table.name: await _rows(reader, table) for table in tables}


async def _rows(reader: Reader, table: sa.Table) -> list[str]:
    rows: list[dict[str, Any]] = [dict(row) for row in await reader.all(sa.select(table))]
    return sorted(canonical(row) for row in rows)
