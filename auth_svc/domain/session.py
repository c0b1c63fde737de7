"""A session: one log-in, kept alive by refresh tokens that are good for one use each.

Rotation with reuse detection (RFC 9700 §4.14.2): whoever presents a token that was exchanged before, thief or victim,
ends the session for both. One exception, because answers get lost: within ten seconds the token that was just exchanged
is taken once more, as long as its successor is unused; that successor is void then.
"""

from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Final
from uuid import UUID

from chassis.seedwork import AggregateRoot
from contracts.auth import SessionRevoked
from contracts.claims import CLOCK_LEEWAY_SECONDS, MAX_TOKEN_SECONDS

LIFE: Final = timedelta(days=30)
IDLE: Final = timedelta(days=7)
GRACE: Final = timedelta(seconds=10)
TOKENS_OUTLIVE: Final = timedelta(seconds=MAX_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS)
"""How long after a revocation some access token of the session could still look valid."""


class RevocationReason(StrEnum):
    LOGOUT = "logout"
    REUSE = "refresh_token_reused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason, not a password
    DISABLED = "user_disabled"
    ERASED = "user_erased"


class Rotation(Enum):
    """What became of a presented refresh token."""

    ROTATED = "rotated"
    REUSED = "reused"
    OVER = "over"


class Session(AggregateRoot):
    """One log-in. `current_hash` and `previous_hash` are those of the newest refresh token and of the one before it."""

    def __init__(
        self,
        *,
        id: UUID,
        user_id: UUID,
        current_hash: str,
        previous_hash: str | None,
        started_at: datetime,
        rotated_at: datetime,
        revoked_at: datetime | None = None,
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.id = id
        self.user_id = user_id
        self.current_hash = current_hash
        self.previous_hash = previous_hash
        self.started_at = started_at
        self.rotated_at = rotated_at
        self.revoked_at = revoked_at

    @classmethod
    def start(cls, id: UUID, user_id: UUID, token_hash: str, now: datetime) -> "Session":
        return cls(id=id, user_id=user_id, current_hash=token_hash, previous_hash=None, started_at=now, rotated_at=now)

    def is_over(self, now: datetime) -> bool:
        """Revoked, 30 days old, or not refreshed for 7."""
        return self.revoked_at is not None or now >= self.started_at + LIFE or now >= self.rotated_at + IDLE

    def rotate(self, presented: str, successor: str, now: datetime) -> Rotation:
        """Exchange a token that belongs to this session for `successor` (all as hashes). Reuse revokes the session."""
        if self.is_over(now):
            return Rotation.OVER
        if presented == self.current_hash:
            self.previous_hash, self.current_hash, self.rotated_at = presented, successor, now
            return Rotation.ROTATED
        if presented == self.previous_hash and now <= self.rotated_at + GRACE:
            self.current_hash = successor  # the answer was lost; the grace still runs from the first exchange
            return Rotation.ROTATED
        self.revoke(RevocationReason.REUSE, now)
        return Rotation.REUSED

    def revoke(self, reason: RevocationReason, now: datetime) -> bool:
        """End the session; False if it had ended before."""
        if self.revoked_at is not None:
            return False
        self.revoked_at = now
        self.record(
            SessionRevoked(session_id=self.id, user_id=self.user_id, reason=reason.value, until=self.revoked_until(now))
        )
        return True

    @staticmethod
    def revoked_until(now: datetime) -> datetime:
        """When the last access token of a session revoked now has expired by itself."""
        return now + TOKENS_OUTLIVE
