"""A year of orders as a temporary table, and what both databases write differently: stores are filled by statements
that run inside them, a million rows in seconds, and every statement but the seed's own is the same on both."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.db import UtcDateTime
from chassis.housekeeping import Retention

YEAR: Final = timedelta(days=365)
CUSTOMERS: Final = 20_000
SAMPLES: Final = 1_000
BODY: Final = "0" * 600
"""As long as the event of an order is."""

KEPT: Final = Retention()


@dataclass(frozen=True)
class Dialect:
    """How a database writes what is in the names; `{…}` is put in."""

    numbers: str
    """A source of rows with one column `n`, from 0 to `{last}`."""
    time: str
    """`{ms}` since 1970 as a time."""
    uuid7: str
    """An id as the services make them at `{ms}`."""
    uuid: str
    """`{number}` as an id, the same each time."""
    random: str
    """Another id each time."""
    json: str


DIALECTS: Final = {
    "sqlite": Dialect(
        numbers="(WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < {last})"
        " SELECT n FROM counted)",
        time="strftime('%Y-%m-%d %H:%M:%f000', ({ms}) / 1000.0, 'unixepoch')",
        uuid7="lower(printf('%012x', {ms}) || '7' || substr(hex(randomblob(2)), 2)"
        " || '8' || substr(hex(randomblob(8)), 2))",
        uuid="printf('%032x', {number})",
        random="lower(hex(randomblob(16)))",
        json="'{text}'",
    ),
    "postgresql": Dialect(
        numbers="generate_series(0::bigint, {last}) AS counted(n)",
        time="to_timestamp(({ms}) / 1000.0)",
        uuid7="(lpad(to_hex({ms}), 12, '0') || '7' || substr(md5(random()::text), 1, 3)"
        " || '8' || substr(md5(random()::text), 1, 15))::uuid",
        uuid="lpad(to_hex({number}), 32, '0')::uuid",
        random="gen_random_uuid()",
        json="'{text}'::json",
    ),
}


@dataclass(frozen=True)
class Rows:
    """A statement that inserts; of orders since `kept` ago only, if that is given: `:since` in it."""

    statement: str
    kept: timedelta | None = None


@dataclass(frozen=True)
class Known:
    """An order of the seed, to be asked for."""

    order_id: UUID
    payment_id: UUID


async def plant(connection: AsyncConnection, count: int, now: datetime) -> None:
    """Make the table `seed`: `count` orders, evenly over the year until `now`, in the order of their ids.

    `n` tells what became of an order: every tenth is cancelled; of these every other was paid and got its money back,
    and the rest was declined. It ends with the connection.
    """
    dialect = DIALECTS[connection.dialect.name]
    start = int((now - YEAR).timestamp() * 1000)
    ms = f"{start} + n * {int(YEAR.total_seconds() * 1000) // count}"
    columns = {
        "at": dialect.time.format(ms=ms),
        "order_id": dialect.uuid7.format(ms=ms),
        "payment_id": dialect.uuid7.format(ms=ms),
        "refund_id": dialect.random,
        "user_id": dialect.uuid.format(number=f"1000 + n % {CUSTOMERS}"),
    }
    listed = ", ".join(f"{what} AS {name}" for name, what in columns.items())
    numbers = dialect.numbers.format(last=count - 1)
    await connection.execute(sa.text(f"CREATE TEMPORARY TABLE seed AS SELECT n, {listed} FROM {numbers}"))  # noqa: S608 - our own constants


async def insert(connection: AsyncConnection, rows: Iterable[Rows], now: datetime) -> None:
    """Run the statements, one after the other."""
    for each in rows:
        statement = sa.text(each.statement)
        if each.kept is not None:
            statement = statement.bindparams(sa.bindparam("since", now - each.kept, UtcDateTime))
        await connection.execute(statement)


async def known(connection: AsyncConnection, count: int) -> list[Known]:
    """Some thousand orders of the seed, evenly over the year; all if there are fewer."""
    statement = sa.text("SELECT order_id, payment_id FROM seed WHERE n % :step = 0")
    typed = statement.columns(order_id=sa.Uuid, payment_id=sa.Uuid)
    rows = await connection.execute(typed, {"step": max(1, count // SAMPLES)})
    return [Known(row.order_id, row.payment_id) for row in rows]


def delivery(random: str, *, sends: tuple[str, int], hears: tuple[str, int], route: str) -> list[Rows]:
    """What the prunes leave of the chassis' tables: sent events and handled ones (type, number per order), and keys."""
    (sent, events), (heard, handled) = sends, hears
    return [
        Rows(
            f"""
    INSERT INTO outbox (event_id, type, aggregate_id, aggregate_version, correlation_id, body, created_at, available_at,
        attempts, published_at)
    SELECT {random}, '{sent}', CAST(order_id AS TEXT), seq.column1, order_id, '{BODY}', at, at, 1, at
    FROM seed CROSS JOIN ({_values(events)}) AS seq WHERE at > :since""",  # noqa: S608 - our own constants
            KEPT.outbox,
        ),
        Rows(
            f"""
    INSERT INTO inbox (event_id, type, handled_at)
    SELECT {random}, '{heard}', at FROM seed CROSS JOIN ({_values(handled)}) AS seq WHERE at > :since""",  # noqa: S608 - our own
            KEPT.inbox,
        ),
        Rows(
            f"""
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, headers, created_at)
    SELECT user_id, '{route}', CAST(order_id AS TEXT), '{"0" * 64}', 201, '{BODY}', '{{}}', at
    FROM seed WHERE at > :since""",  # noqa: S608 - our own
            KEPT.idempotency_keys,
        ),
    ]


def _values(count: int) -> str:
    return "VALUES " + ", ".join(f"({number})" for number in range(1, count + 1))
