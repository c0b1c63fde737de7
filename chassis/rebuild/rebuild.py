"""A rebuild: projections made again in a scratch store, compared with the live ones, and put in their place if asked.

The live tables are looked at before the journal's end is asked for, so that what they hold, the rebuilt ones hold too.
A service at work is behind by moments: a difference counts when it is still there a moment later and nothing has
touched the row. Rows go into the live store only over what was compared, so that no event handled meanwhile is undone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
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

    `missing` should be there, `differing` should say something else, `surplus` are in the live table only. Not judged,
    and in no fingerprint: `moving`, which events were changing at that moment; `unjudged`, whose first events the
    journal has lost; and the surplus, if the journal was cut.
    """

    table: str
    rows: int
    live: str
    rebuilt: str
    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    moving: int = 0

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
class _Look:
    """One table at one moment, live and rebuilt. `unjudged` are keys."""

    projection: Projection
    live: Digests
    rebuilt: Digests
    unjudged: Set[str]

    @property
    def differences(self) -> set[str]:
        keys = self.live.keys() | self.rebuilt.keys()
        return {key for key in keys if self.live.get(key) != self.rebuilt.get(key)}

    def lasting(self, before: "_Look") -> set[str]:
        """The differences that were there before, and of which the live row has not changed since."""
        both = self.differences & before.differences
        return {key for key in both if self.live.get(key) == before.live.get(key)}

    def comparison(self, lasting: Set[str], *, cut: bool) -> Comparison:
        surplus = lasting - self.rebuilt.keys()
        moving = self.differences - lasting - self.unjudged
        judged = lasting - self.unjudged
        without = moving | self.unjudged | (surplus if cut else set())
        return Comparison(
            self.projection.table.name,
            len(self.live),
            fingerprint(self.live, without=without),
            fingerprint(self.rebuilt, without=without),
            missing=tuple(sorted(judged - self.live.keys())),
            differing=tuple(sorted(judged & self.live.keys() & self.rebuilt.keys())),
            surplus=tuple(sorted(surplus)),
            unjudged=tuple(sorted(self.unjudged)),
            moving=len(moving),
        )


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
        """Compare, until all is equal or the differences are lasting ones.

        Raises:
            SideEffectError: a handler did more than feed a projection.
            JournalUnavailableError: the journal cannot be read.
        """
        return self._report(await self._settled(), {})

    async def apply(self, writer: Writer[Any], *, delete_surplus: bool = False) -> Report:
        """Write what is missing or differs, each time in one transaction, until there is nothing left to write.

        Rows that only the live store has are deleted if `delete_surplus`, but not those with facts of its own.

        Raises:
            SideEffectError, JournalUnavailableError: as `check`.
            StoreUnavailableError: the store cannot be written to.
        """
        mended: defaultdict[str, Mended] = defaultdict(Mended)
        for _ in range(PASSES):
            found = await self._settled()
            work = [await self._difference(look, result, delete_surplus=delete_surplus) for look, result in found]
            done = await writer.run_now(partial(_swap_all, work))
            for table, now in done.items():
                mended[table].written += now.written
                mended[table].deleted += now.deleted
            if not any(now.written or now.deleted for now in done.values()):
                break
        return self._report(found, dict(mended))

    async def _settled(self) -> list[tuple[_Look, Comparison]]:
        """Look until two looks in a row find the same lasting differences, or there is none."""
        looks = await self._look()
        lasting: list[set[str]] = [set() for _ in looks]
        for _ in range(PASSES):
            if not any(look.differences - look.unjudged for look in looks):
                break
            await asyncio.sleep(self._pause)
            before, looks = looks, await self._look()
            known, lasting = lasting, [now.lasting(then) for now, then in zip(looks, before, strict=True)]
            if known == lasting or not any(lasting):
                break
        cut = self._reader.so_far.cut is not None
        return [(look, look.comparison(keys, cut=cut)) for look, keys in zip(looks, lasting, strict=True)]

    async def _look(self) -> list[_Look]:
        now = self._clock.now()
        projections = self._definition.projections
        live = [await digests(self._live, projection, now) for projection in projections]
        reading = await self._reader.read_on()
        reading.cut = reading.cut or await self._begun_before(reading)
        rebuilt = [await digests(self._scratch.reader, projection, now) for projection in projections]
        looks = [_Look(*each, unjudged=frozenset()) for each in zip(projections, live, rebuilt, strict=True)]
        return [replace(look, unjudged=await self._unjudged(look)) for look in looks]

    async def _unjudged(self, look: _Look) -> Set[str]:
        """Of what differs, the rows that come in parts and whose first part the journal does not have."""
        if not look.projection.in_parts:
            return frozenset()
        subjects = {look.projection.subject_of(key): key for key in look.differences & look.rebuilt.keys()}
        return {subjects[subject] for subject in await self._scratch.without_beginning(subjects)}

    async def _difference(self, look: _Look, found: Comparison, *, delete_surplus: bool) -> Difference:
        wanted = [*found.missing, *found.differing]
        keys = [*wanted, *found.surplus] if delete_surplus else wanted
        rows = await self._scratch.rows(look.projection, wanted) if wanted else {}
        return Difference(look.projection, {key: look.live.get(key) for key in keys}, rows)

    async def _begun_before(self, reading: Reading) -> str | None:
        """A journal that was made anew begins at its first entry, and yet it is not the first: the inbox knows."""
        inbox = self._definition.tables.inbox
        row = await self._live.first(sa.select(sa.func.min(inbox.c.handled_at).label("at")))
        handled = row["at"] if row is not None else None
        if handled is None or reading.began is None or handled > reading.began - CLOCKS_DIFFER:
            return None
        return f"the journal begins at {reading.began.isoformat()}, and the service handled events before that"

    def _report(self, found: Sequence[tuple[_Look, Comparison]], mended: dict[str, Mended]) -> Report:
        results = tuple(result for _, result in found)
        return Report(self._definition.name, self._reader.so_far, results, mended)


async def _swap_all(differences: Sequence[Difference], uow: UnitOfWork) -> dict[str, Mended]:
    return {each.projection.table.name: await swap(each, uow) for each in differences if each.before}
