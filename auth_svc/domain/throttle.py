"""How often something may be tried: counted before the attempt, so that parallel guesses count too."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from auth_svc.domain.errors import TooManyAttemptsError
from chassis.seedwork import AggregateRoot

LONGEST_WAIT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Limit:
    """`attempts` in a `window` are free; then everything waits for its end.

    With `backoff` each further attempt waits 2, 4, 8 … seconds instead, and a window of silence forgets them.
    """

    attempts: int
    window: timedelta
    backoff: bool = False


class Throttle(AggregateRoot):
    """The attempts of one key (an account, an address, or both together) in the current window."""

    def __init__(self, key: str, account: str, count: int, since: datetime, last_at: datetime) -> None:
        super().__init__()
        self.key = key
        self.account = account
        self.count = count
        self.since = since
        self.last_at = last_at

    @classmethod
    def fresh(cls, key: str, account: str, now: datetime) -> "Throttle":
        return cls(key, account, 0, now, now)

    def attempt(self, limit: Limit, now: datetime) -> None:
        """Count one attempt.

        Raises:
            TooManyAttemptsError: it must wait, and does not count.
        """
        if now >= (self._open_at(limit) if limit.backoff else self.since) + limit.window:
            self.count, self.since = 0, now
        if (wait := self._open_at(limit) - now) > timedelta(0):
            raise TooManyAttemptsError(ceil(wait.total_seconds()))
        self.count += 1
        self.last_at = now

    def take_back(self) -> None:
        """The last attempt was a good one."""
        self.count = max(0, self.count - 1)

    def forget(self) -> None:
        """The right person is here: start again from nothing."""
        self.count = 0

    def _open_at(self, limit: Limit) -> datetime:
        """When the next attempt is allowed."""
        over = self.count - limit.attempts
        if over < 0:
            return self.last_at
        if not limit.backoff:
            return self.since + limit.window
        return self.last_at + min(timedelta(seconds=2 ** min(over + 1, 20)), LONGEST_WAIT)
