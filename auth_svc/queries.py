"""Reads: who might be logging in, and who am I."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from auth_svc.schemas import Me
from auth_svc.store import users
from chassis.db import Reader
from chassis.seedwork import NotFoundError

_CANDIDATE: Final = sa.select(users.c.id, users.c.email, users.c.password_hash).where(
    users.c.email == sa.bindparam("email")
)
_USER: Final = sa.select(users).where(users.c.id == sa.bindparam("user_id"), users.c.status != "erased")
_BY_EMAIL: Final = sa.select(users).where(users.c.email == sa.bindparam("email"))


async def candidate(reader: Reader, email: str) -> RowMapping | None:
    """`id` and `password_hash` of the account with this (normalized) address."""
    rows = await reader.by_key(_CANDIDATE, {"email": email})
    return rows[0] if rows else None


async def user(reader: Reader, user_id: UUID) -> RowMapping:
    """The account's row.

    Raises:
        NotFoundError: there is none, or it is erased.
    """
    rows = await reader.by_key(_USER, {"user_id": user_id})
    if not rows:
        raise NotFoundError("user")
    return rows[0]


async def find_by_email(reader: Reader, email: str) -> list[Me]:
    """The account with this (normalized) address, for an operator."""
    return [me(row) for row in await reader.by_key(_BY_EMAIL, {"email": email})]


def me(row: RowMapping) -> Me:
    return Me(
        user_id=row["id"],
        email=row["email"],
        name=row["name"],
        roles=row["roles"],
        status=row["status"],
        created_at=row["created_at"],
    )
