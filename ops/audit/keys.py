"""Idempotency keys beside what they made, one to one. Pure: figures in, findings out.

A busy shop keeps a million keys for two days. Both sides are folded by the hour that is inside the ids, as messages
are: keys count up, what was made counts down, and an hour that ends at nothing has the same ids on both sides. Only of
hours that do not, and of what is too old or too young to be compared so, the ids themselves are kept.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from chassis.figures import made_at
from ops.audit.findings import Check, Finding

MADE_BY: Final = {"order": "POST /orders", "payment": "POST /payments"}
"""The route whose keys make each service's orders or payments: every one of them is made under a key."""
MARGIN: Final = timedelta(hours=1)
"""Less than what is kept is compared: clocks differ a little, and rows are pruned while we look."""
SETTLED: Final = timedelta(minutes=1)
"""Younger ones are not folded: their key may be committed after the keys were read."""
HOUR: Final = 3_600


class KeyBook:
    """Both sides of one service. Keys are taken before what they made, so that whatever they made must be seen.

    Keys used after `kept_since` are all there, and were read after `at`. `named`: hours (Unix seconds divided by 3,600)
    whose ids are kept, because a book without it has found them to differ.
    """

    def __init__(self, service: str, kept_since: datetime, at: datetime, named: Set[int] = frozenset()) -> None:
        self.kept_since = kept_since
        self.read = 0
        """All keys, whatever their route."""
        self._route, self._at, self._named = MADE_BY[service], at, named
        self._folded_from = int((kept_since + MARGIN).timestamp())
        self._folded_until = int((at - SETTLED).timestamp())
        self._counts: Counter[int] = Counter()
        self._sums: defaultdict[int, int] = defaultdict(int)
        self._keys: Counter[str | None] = Counter()
        self._made: dict[str, datetime] = {}

    def take_key(self, route: str, made: str | None) -> None:
        """A key used after `kept_since`, and the id of what it made; None if its answer names nothing."""
        self.read += 1
        if route == self._route and not self._folded(made, 1):
            self._keys[made] += 1

    def take_made(self, made_id: str, at: datetime) -> None:
        """An order or a payment, and when it was made."""
        if at > self.kept_since - MARGIN and not self._folded(made_id, -1):
            self._made[made_id] = at

    def differing(self) -> frozenset[int]:
        """The hours whose ids are not the same on both sides."""
        return frozenset(hour for hour in self._sums if self._counts[hour] or self._sums[hour])

    def findings(self, since: datetime) -> Iterator[Finding]:
        """What is wrong about the ids that were kept. What was made before `since` or after `at` needs no key."""
        what = self._route.removeprefix("POST /").removesuffix("s")
        for made_id, number in self._keys.items():
            if made_id is None:
                yield Finding(Check.KEYS, f"{number} answers kept under keys of {self._route} name no {what}")
            elif made_id not in self._made:
                text = f"a key of {self._route} made {what} {made_id}, which does not exist"
                yield Finding(Check.KEYS, text, (made_id,))
            elif number > 1:
                yield Finding(Check.KEYS, f"{what} {made_id} was made under {number} keys", (made_id,))
        for made_id, moment in self._made.items():
            if since < moment < self._at and made_id not in self._keys:
                yield Finding(Check.KEYS, f"{what} {made_id} was made without a key", (made_id,))

    def _folded(self, made_id: str | None, step: int) -> bool:
        if made_id is None:
            return False
        number = UUID(made_id)
        at = made_at(number)
        hour = at // HOUR
        if not self._folded_from <= at < self._folded_until or hour in self._named:
            return False
        self._counts[hour] += step
        self._sums[hour] += step * number.int
        return True
