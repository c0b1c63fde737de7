"""auth_svc's tables, rows ↔ aggregates, and its unit of work. The only tables of the shop with personal data."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from auth_svc.domain.session import RevocationReason, Session
from auth_svc.domain.signing_key import SigningKey
from auth_svc.domain.throttle import Throttle
from auth_svc.domain.user import User, UserStatus
from chassis.db import NAMING_CONVENTION, UtcDateTime
from chassis.unit_of_work import Repository, Transaction, UnitOfWork, runtime_tables

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
RUNTIME: Final = runtime_tables(metadata)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.String(254), unique=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("password_hash", sa.String(200)),
    sa.Column("roles", sa.JSON, nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("status IN ('active', 'disabled', 'erased')", name="status"),
    sa.CheckConstraint(
        "(status = 'erased') = (email IS NULL) AND (status = 'erased') = (password_hash IS NULL)", name="erased"
    ),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("current_hash", sa.String(64), nullable=False),
    sa.Column("previous_hash", sa.String(64)),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("rotated_at", UtcDateTime, nullable=False),
    sa.Column("revoked_at", UtcDateTime, index=True),
    sa.Column("version", sa.Integer, nullable=False),
)
refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.Uuid, sa.ForeignKey("sessions.id"), nullable=False, index=True),
    sa.Column("issued_at", UtcDateTime, nullable=False),
)
signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("kid", sa.String(64), primary_key=True),
    sa.Column("public_key", sa.LargeBinary(32), nullable=False),
    sa.Column("sealed", sa.LargeBinary(100), nullable=False),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
throttles = sa.Table(
    "throttles",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False, index=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False, index=True),
)


class UserRepository(Repository[User, UUID]):
    table = users
    key = "id"
    what = "user"

    def to_row(self, aggregate: User) -> dict[str, Any]:
        return {
            "id": aggregate.id,
            "email": aggregate.email,
            "name": aggregate.name,
            "password_hash": aggregate.password_hash,
            "roles": list(aggregate.roles),
            "status": aggregate.status.value,
            "created_at": aggregate.created_at,
            "version": aggregate.version,
        }

    def from_row(self, row: RowMapping) -> User:
        values = {**row, "roles": tuple(row["roles"]), "status": UserStatus(row["status"])}
        return User(**values)

    async def by_email(self, email: str) -> User | None:
        """The account with this (normalized) address."""
        found = await self.select(users.c.email == email)
        return found[0] if found else None


class SessionRepository(Repository[Session, UUID]):
    table = sessions
    key = "id"
    what = "session"

    def to_row(self, aggregate: Session) -> dict[str, Any]:
        return {column.name: getattr(aggregate, column.name) for column in sessions.columns}

    def from_row(self, row: RowMapping) -> Session:
        return Session(**row)

    async def of_user(self, user_id: UUID) -> list[Session]:
        """The user's sessions that nobody revoked."""
        return await self.select(sa.and_(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None)))


class SigningKeyRepository(Repository[SigningKey, str]):
    table = signing_keys
    key = "kid"
    what = "signing key"

    def to_row(self, aggregate: SigningKey) -> dict[str, Any]:
        return {column.name: getattr(aggregate, column.name) for column in signing_keys.columns}

    def from_row(self, row: RowMapping) -> SigningKey:
        return SigningKey(**row)

    async def unexpired(self, now: datetime) -> list[SigningKey]:
        return await self.select(signing_keys.c.expires_at > now)


class ThrottleRepository(Repository[Throttle, str]):
    table = throttles
    key = "key"
    what = "throttle"

    def to_row(self, aggregate: Throttle) -> dict[str, Any]:
        return {column.name: getattr(aggregate, column.name) for column in throttles.columns}

    def from_row(self, row: RowMapping) -> Throttle:
        return Throttle(**row)


class AuthUnitOfWork(UnitOfWork):
    """`on_revoked` hears of each ended session after the commit, so that it bites here before its event is out."""

    def __init__(
        self, transaction: Transaction, on_revoked: Callable[[UUID, datetime], None] = lambda _id, _until: None
    ) -> None:
        super().__init__(transaction)
        self.users = UserRepository(self)
        self.sessions = SessionRepository(self)
        self.signing_keys = SigningKeyRepository(self)
        self.throttles = ThrottleRepository(self)
        self._on_revoked = on_revoked

    async def session_of(self, token_hash: str) -> Session | None:
        """The session a refresh token was ever issued for."""
        rows = await self.fetch(sa.select(refresh_tokens.c.session_id).where(refresh_tokens.c.hash == token_hash))
        return await self.sessions.find(rows[0]["session_id"]) if rows else None

    def issue_refresh(self, token_hash: str, session: Session) -> None:
        """Remember a token for as long as its session: to know it again is to notice its reuse."""
        self.append(refresh_tokens, {"hash": token_hash, "session_id": session.id, "issued_at": self.now})

    def revoke(self, session: Session, reason: RevocationReason) -> None:
        """End a session, here at once and everywhere by its event."""
        session.revoke(reason, self.now)
        until = Session.revoked_until(self.now)
        self.after_commit(lambda: self._on_revoked(session.id, until))
