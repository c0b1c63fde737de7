"""Reads: who might be logging in, who am I, and the figures for an auditor."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from auth_svc.schemas import AuthAudit, Me
from auth_svc.store import RUNTIME, sessions, signing_keys, users
from chassis.clock import Clock
from chassis.db import Reader
from chassis.figures import message_figures
from chassis.seedwork import NotFoundError

_CANDIDATE: Final = sa.select(users.c.id, users.c.email, users.c.password_hash).where(
    users.c.email == sa.bindparam("email")
)
_USER: Final = sa.select(users).where(users.c.id == sa.bindparam("user_id"), users.c.status != "erased")
_BY_EMAIL: Final = sa.select(users).where(users.c.email == sa.bindparam("email"))
_BY_STATUS: Final = sa.select(users.c.status.label("name"), sa.func.count().label("rows")).group_by(users.c.status)
_OPEN: Final = sa.select(sa.func.count().label("rows")).where(sessions.c.revoked_at.is_(None))
_KIDS: Final = sa.select(signing_keys.c.kid).order_by(signing_keys.c.not_before)


async def candidate(reader: Reader, email: str) -> RowMapping | None:
    """`id` and `password_hash` of the account with this (normalized) address."""
    return await reader.first(_CANDIDATE, {"email": email})


async def user(reader: Reader, user_id: UUID) -> RowMapping:
    """The account's row.

    Raises:
        NotFoundError: there is none, or it is erased.
    """
    row = await reader.first(_USER, {"user_id": user_id})
    if row is None:
        raise NotFoundError("user")
    return row


async def find_by_email(reader: Reader, email: str) -> list[Me]:
    """The account with this (normalized) address, for an operator."""
    return [me(row) for row in await reader.all(_BY_EMAIL, {"email": email})]


def me(row: RowMapping) -> Me:
    return Me(
        user_id=row["id"],
        email=row["email"],
        name=row["name"],
        roles=row["roles"],
        status=row["status"],
        created_at=row["created_at"],
    )


async def figures(reader: Reader, clock: Clock) -> AuthAudit:
    """Counts only: nothing personal."""
    messages, open_sessions = await message_figures(reader, RUNTIME), await reader.first(_OPEN)
    return AuthAudit(
        at=clock.now(),
        users_by_status={row["name"]: row["rows"] for row in await reader.all(_BY_STATUS)},
        open_sessions=open_sessions["rows"] if open_sessions else 0,
        signing_keys=[row["kid"] for row in await reader.all(_KIDS)],
        outbox=messages.outbox,
        sent=messages.sent,
        received=messages.received,
    )
