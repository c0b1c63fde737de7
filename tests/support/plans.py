"""How a store means to run a statement: what it would read from one end to the other, and what it would sort."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

_SCAN = re.compile(r"\bSeq Scan on (\w+)|^SCAN (?!anon_)(\w+)")  # `anon_1` is a subquery with a plan of its own
_SORT = re.compile(r"\bSort\b|USE TEMP B-TREE")


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Executable) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    verb = "EXPLAIN QUERY PLAN" if compiler.dialect.name == "sqlite" else "EXPLAIN"
    text = compiler.process(element.statement, **options)  # type: ignore[arg-type] # an executable clause
    compiler._result_columns.clear()  # the plan's lines are not the statement's columns
    return f"{verb} {text}"


async def plan_of(
    connection: AsyncConnection, statement: Executable, parameters: Mapping[str, Any] | None = None
) -> list[str]:
    """The lines of the plan. On PostgreSQL they are worth something after ANALYZE only."""
    rows = await connection.execute(_Explain(statement), dict(parameters or {}))
    return [str(row[-1]) for row in rows]


def scanned(plan: Iterable[str], *, small: Iterable[str] = ()) -> set[str]:
    """The tables that are read whole, by themselves or by an index. `small`: names of partial indexes that have only
    what is due or unusual, and of tables that do not grow; to read those whole is meant."""
    found: set[str] = set()
    for line in plan:
        match = _SCAN.search(line)
        if match and not any(name in line.split() for name in small):
            found.add(match[1] or match[2])
    return found


def sorted_whole(plan: Iterable[str]) -> bool:
    """Whether rows are gathered and sorted, rather than read in order."""
    return any(_SORT.search(line) for line in plan)


async def analyze(connection: AsyncConnection) -> None:
    """Let PostgreSQL know what is in the tables, as its autovacuum does; SQLite is never told."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text("ANALYZE"))
