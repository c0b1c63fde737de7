"""A rebuild: projections made again in a scratch store, compared with the live ones, and put in their place if asked.

The live tables are looked at before the journal's end is asked for, so that what they hold, the rebuilt ones hold too.
A service at work is behind by moments: a difference counts when it is the same a moment later. Rows go into the live
store only over what was compared, so an event that was handled meanwhile is not undone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from chassis import db
from chassis.clock import Clock
from chassis.projections import Digests, Projection, digests, fingerprint
from chassis.rebuild.journal import Journal
from chassis.rebuild.reading import Reader, Reading
from chassis.rebuild.scratch import Scratch
from chassis.rebuild.swap import Difference, Mended, swap
from chassis.runtime import ServiceDefinition
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer

PASSES: Final = 8
PAUSE_SECONDS: Final = 1.0
CLOCKS_DIFFER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One table, live and rebuilt, as fingerprints, and the keys that make the difference.

    `missing` should be there, `differing` should say something else, `surplus` are in the live table only. `unjudged`
    differ, too, but the journal has lost their first events and cannot tell. What cannot be judged is in no
    fingerprint; nor is the surplus, if the journal was cut.
    """

    table: str
    rows: int
    live: str
    rebuilt: str
    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.live == self.rebuilt


@dataclass(frozen=True, slots=True)
class Report:
    """How a service's projections stand; `mended` says by table what was done about it."""

    service: str
    reading: Reading
    comparisons: tuple[Comparison, ...]
    mended: dict[str, Mended] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return all(comparison.equal for comparison in self.comparisons)


@dataclass(frozen=True, slots=True)
class _Compared:
    """One table's comparison, with what a swap needs to know."""

    projection: Projection
    live: Digests
    result: Comparison


class Rebuild:
    """`check` compares, `apply` mends. Each may be called again and reads on from where the journal was left."""

    def __init__(
        self,
        definition: ServiceDefinition[Any],
        scratch: Scratch,
        live: db.Reader,
        journal: Journal,
        clock: Clock,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._definition = definition
        self._scratch = scratch
        self._live = live
        self._reader = Reader(definition, journal, scratch)
        self._clock = clock
        self._pause = pause_seconds

    async def check(self) -> Report:
        """Compare, until all is equal or nothing moves any more.

        Raises:
            SideEffectError: a handler did more than feed a projection.
            JournalUnavailableError: the journal cannot be read.
        """
        return self._report(await self._settled())

    async def apply(self, writer: Writer[Any], *, delete_surplus: bool = False) -> Report:
        """Write what is missing or differs, each time in one transaction, until there is nothing left to write.

        Rows that only the live store has are deleted if `delete_surplus`, but not those with facts of its own.

        Raises:
            SideEffectError, JournalUnavailableError: as `check`.
            StoreUnavailableError: the store cannot be written to.
        """
        mended: defaultdict[str, Mended] = defaultdict(Mended)
        for _ in range(PASSES):
            found = await self._compare()
            differences = [await self._difference(each, delete_surplus=delete_surplus) for each in found]
            done = await writer.run_now(partial(_swap_all, differences))
            for table, now in done.items():
                mended[table].written += now.written
                mended[table].deleted += now.deleted
            if not any(now.written or now.deleted for now in done.values()):
                break
        return self._report(await self._settled(), dict(mended))

    async def _settled(self) -> list[_Compared]:
        found = await self._compare()
        for _ in range(PASSES):
            if all(each.result.equal for each in found):
                break
            await asyncio.sleep(self._pause)
            before, found = found, await self._compare()
            if [each.result for each in before] == [each.result for each in found]:
                break
        return found

    async def _compare(self) -> list[_Compared]:
        now = self._clock.now()
        projections = self._definition.projections
        live = [await digests(self._live, projection, now) for projection in projections]
        reading = await self._reader.read_on()
        reading.cut = reading.cut or await self._begun_before(reading)
        rebuilt = [await digests(self._scratch.reader, projection, now) for projection in projections]
        return [
            _Compared(each, was, await self._compare_table(each, was, becomes))
            for each, was, becomes in zip(projections, live, rebuilt, strict=True)
        ]

    async def _compare_table(self, projection: Projection, live: Digests, rebuilt: Digests) -> Comparison:
        missing = rebuilt.keys() - live.keys()
        differing = {key for key in live.keys() & rebuilt.keys() if live[key] != rebuilt[key]}
        surplus = live.keys() - rebuilt.keys()
        unjudged: set[str] = set()
        if projection.in_parts:
            subjects = {projection.subject_of(key): key for key in missing | differing}
            unjudged = {subjects[subject] for subject in await self._scratch.without_beginning(subjects)}
        without = unjudged | surplus if self._reader.so_far.cut else unjudged
        return Comparison(
            projection.table.name,
            len(live),
            fingerprint(live, without=without),
            fingerprint(rebuilt, without=without),
            missing=tuple(sorted(missing - unjudged)),
            differing=tuple(sorted(differing - unjudged)),
            surplus=tuple(sorted(surplus)),
            unjudged=tuple(sorted(unjudged)),
        )

    async def _difference(self, found: _Compared, *, delete_surplus: bool) -> Difference:
        wanted = [*found.result.missing, *found.result.differing]
        keys = [*wanted, *found.result.surplus] if delete_surplus else wanted
        rows = await self._scratch.rows(found.projection, wanted) if wanted else {}
        return Difference(found.projection, {key: found.live.get(key) for key in keys}, rows)

    async def _begun_before(self, reading: Reading) -> str | None:
        """A journal that was made anew begins at its first entry, and yet it is not the first: the inbox knows."""
        inbox = self._definition.tables.inbox
        row = await self._live.first(sa.select(sa.func.min(inbox.c.handled_at).label("at")))
        handled = row["at"] if row is not None else None
        if handled is None or reading.began is None or handled > reading.began - CLOCKS_DIFFER:
            return None
        return f"the journal begins at {reading.began.isoformat()}, and the service handled events before that"

    def _report(self, found: Sequence[_Compared], mended: dict[str, Mended] | None = None) -> Report:
        results = tuple(each.result for each in found)
        return Report(self._definition.name, self._reader.so_far, results, mended or {})


async def _swap_all(differences: Sequence[Difference], uow: UnitOfWork) -> dict[str, Mended]:
    return {each.projection.table.name: await swap(each, uow) for each in differences if each.before}
