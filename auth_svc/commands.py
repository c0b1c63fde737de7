"""What auth_svc is asked to do. Passwords arrive here hashed, refresh tokens too."""

from dataclasses import dataclass
from uuid import UUID

from auth_svc.domain.throttle import Limit


@dataclass(frozen=True, slots=True)
class Counted:
    """One throttle an attempt counts against. `account` is what to forget it by, empty for an address alone."""

    key: str
    account: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Count an attempt before it is made."""

    throttles: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Register:
    email: str
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """The password matched `verified_hash`. `new_hash`, if any, is the same password by today's parameters."""

    user_id: UUID
    verified_hash: str
    new_hash: str | None
    refresh_hash: str
    pair_throttle: str
    other_throttles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refresh:
    presented_hash: str
    successor_hash: str


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Log out, by the session's id or by a refresh token of it."""

    session_id: UUID | None = None
    refresh_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Every session but `keep_session` ends."""

    user_id: UUID
    verified_hash: str
    new_hash: str
    keep_session: UUID
    throttle: str


@dataclass(frozen=True, slots=True)
class EraseUser:
    """`account` is the account's key in the throttles."""

    user_id: UUID
    account: str


@dataclass(frozen=True, slots=True)
class DisableUser:
    user_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class EnsureOperator:
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A session goes on: what its next access token says."""

    user_id: UUID
    session_id: UUID
    roles: tuple[str, ...]
