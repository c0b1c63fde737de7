"""Compares the provider's books with ours, page by page from where it stopped, and looks into what differs.

A listed line is never believed by itself: it makes us ask about that payment, a little later, and `judgement.py`
decides on the answer. What is held or unauthenticated for longer than any order waits is asked about as well.
"""

import asyncio
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from chassis.clock import Clock
from chassis.db import Reader
from chassis.writer import Writer
from payment_svc.commands import Judge, NoteDifferences
from payment_svc.domain.discrepancy import OLD_HOLD, Difference, DiscrepancyState, difference
from payment_svc.judgement import judge, note_differences
from payment_svc.providers.port import IntentStatus, Listed, PaymentProvider, Snapshot, Unknown
from payment_svc.store import payment_of_row
from payment_svc.tables import discrepancies, payments, watermarks

log = structlog.get_logger()

PAGE: Final = 200
PAGES_AT_ONCE: Final = 20
LOOKS_AT_ONCE: Final = 16
LOOKS_PER_SWEEP: Final = 100

_WATERMARK = sa.select(watermarks.c.cursor).where(watermarks.c.provider == sa.bindparam("provider"))
_KNOWN = sa.select(payments).where(payments.c.reference.in_(sa.bindparam("references", expanding=True)))
_DUE = (
    sa.select(discrepancies.c.reference)
    .where(discrepancies.c.state != DiscrepancyState.SETTLED.value, discrepancies.c.next_at <= sa.bindparam("now"))
    .order_by(discrepancies.c.next_at)
    .limit(LOOKS_PER_SWEEP)
)
# As literals: with parameters SQLite does not see that the index of the open ones will do, and reads all payments.
_OPEN = [sa.literal_column(f"'{state}'", sa.String) for state in ("requires_action", "authorized")]
_OLD = (
    sa.select(payments)
    .outerjoin(discrepancies, discrepancies.c.reference == payments.c.reference)
    .where(
        payments.c.state.in_(_OPEN),
        payments.c.created_at <= sa.bindparam("before"),
        payments.c.reference.isnot(None),
        sa.or_(
            discrepancies.c.reference.is_(None),
            sa.and_(
                discrepancies.c.state == DiscrepancyState.SETTLED.value,
                discrepancies.c.next_at <= sa.bindparam("now"),
            ),
        ),
    )
    .order_by(payments.c.created_at)
    .limit(LOOKS_PER_SWEEP)
)


class Reconciler:
    """Two sweeps: `read_books` finds what differs, `look` asks about it."""

    def __init__(self, provider: PaymentProvider, *, writer: Writer[Any], reader: Reader, clock: Clock) -> None:
        self._provider = provider
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._slots = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def read_books(self) -> int:
        """Read on in the provider's books; how many lines of them are to be looked at."""
        row = await self._reader.first(_WATERMARK, {"provider": self._provider.name})
        cursor: str = row["cursor"] if row else ""
        old = await self._old_ones()
        found = await self._note(cursor, old) if old else 0
        for _ in range(PAGES_AT_ONCE):
            page = await self._provider.list_since(cursor, PAGE)
            if isinstance(page, Unknown):
                log.warning("reconciler.books_closed", reason=page.reason)
                break
            if page.cursor != cursor:
                found += await self._note(page.cursor, await self._differing(page.items))
            cursor = page.cursor
            if not page.more:
                break
        return found

    async def look(self) -> int:
        """Ask about what seemed to differ; how much of it an operator has to look at from now on."""
        due = await self._reader.all(_DUE, {"now": self._clock.now()})
        return sum(await asyncio.gather(*(self._look_at(row["reference"]) for row in due)))

    async def _look_at(self, reference: str) -> bool:
        async with self._slots:
            result = await self._provider.retrieve(reference)
        return await self._writer.run_now(lambda uow: judge(Judge(reference, result), uow))

    async def _note(self, cursor: str, suspects: list[tuple[Listed, Difference]]) -> int:
        command = NoteDifferences(self._provider.name, cursor, suspects)
        return await self._writer.run_now(lambda uow: note_differences(command, uow))

    async def _differing(self, items: tuple[Listed, ...]) -> list[tuple[Listed, Difference]]:
        rows = await self._reader.all(_KNOWN, {"references": [listed.snapshot.reference for listed in items]})
        known = {row["reference"]: payment_of_row(row) for row in rows}
        suspects: list[tuple[Listed, Difference]] = []
        for listed in items:
            payment = known.get(listed.snapshot.reference)
            what = difference(payment, listed.snapshot) if payment else _stray(listed.snapshot)
            if what is not None:
                suspects.append((listed, what))
        return suspects

    async def _old_ones(self) -> list[tuple[Listed, Difference]]:
        now = self._clock.now()
        rows = await self._reader.all(_OLD, {"now": now, "before": now - OLD_HOLD})
        return [(_as_listed(row), Difference.HELD) for row in rows]


def _stray(there: Snapshot) -> Difference | None:
    """A decline we have no reference of is nothing; everything else may be somebody's money."""
    ended = there.status in (IntentStatus.DECLINED, IntentStatus.VOIDED)
    return None if ended and there.captured == there.refunded else Difference.STRAY


def _as_listed(row: RowMapping) -> Listed:
    payment = payment_of_row(row)
    there = Snapshot(row["reference"], IntentStatus.AUTHORIZED, payment.amount)
    return Listed(there, payment.id, payment.order_id, captures=0)
