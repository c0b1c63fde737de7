"""auth_svc's figures for an audit: which accounts exist, and sessions that break a rule. Nothing personal."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter

from auth_svc.store import RUNTIME, refresh_tokens, sessions, signing_keys, users
from chassis.audit_routes import PageCut, Running
from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer
from chassis.figures import MAX_LISTED, MessageFigures, Page, message_figures
from chassis.runtime import Runtime
from contracts.auth import SessionRevoked


class AuthAudit(MessageFigures):
    """Each list of sessions is wrong whatever else happens, and empty in a healthy store.

    `live_token_astray`: the one refresh token such a session would take was never issued to it, or is another's, too.
    `open_of_closed_account`: open, though the account is disabled or erased.
    `revoked_untold`: revoked, and no event says so, as far back as events are kept.
    """

    service: str = "auth"
    at: datetime
    users_by_status: dict[str, int]
    open_sessions: int
    signing_keys: list[str]
    live_token_astray: list[UUID]
    open_of_closed_account: list[UUID]
    revoked_untold: list[UUID]


class UserFigures(Answer):
    """An account; an erased one stays as its id."""

    id: UUID
    status: str


router = APIRouter(prefix="/auth/audit", tags=["audit"])

_BY_STATUS: Final = sa.select(users.c.status.label("name"), sa.func.count().label("rows")).group_by(users.c.status)
_OPEN: Final = sa.select(sa.func.count().label("rows")).where(sessions.c.revoked_at.is_(None))
_KIDS: Final = sa.select(signing_keys.c.kid).order_by(signing_keys.c.not_before)

_ASTRAY: Final = (
    sa.select(sessions.c.id)
    .outerjoin_from(sessions, refresh_tokens, refresh_tokens.c.hash == sessions.c.current_hash)
    .where(
        sessions.c.revoked_at.is_(None),
        sa.or_(refresh_tokens.c.session_id.is_(None), refresh_tokens.c.session_id != sessions.c.id),
    )
)
_OF_CLOSED: Final = sa.select(sessions.c.id).where(
    sessions.c.revoked_at.is_(None),
    sessions.c.user_id.in_(sa.select(users.c.id).where(users.c.status != "active")),
)
_REVOKED: Final = (
    sa.select(sessions.c.id)
    .where(sessions.c.revoked_at > sa.bindparam("since"))
    .order_by(sessions.c.revoked_at.desc())
    .limit(MAX_LISTED)
)
_TOLD: Final = sa.select(RUNTIME.outbox.c.aggregate_id).where(
    RUNTIME.outbox.c.type == SessionRevoked.wire_name,
    RUNTIME.outbox.c.aggregate_id.in_(sa.bindparam("session_ids", expanding=True)),
)


@router.get("")
async def read_figures(principal: Operator, runtime: Running) -> AuthAudit:
    """Counts, and the sessions that break a rule."""
    return await figures(runtime)


@router.get("/users")
async def read_users(principal: Operator, runtime: Running, cut: PageCut) -> Page[UserFigures]:
    """Every account there ever was, by id."""
    rows = await runtime.reader.all(cut.of(sa.select(users.c.id, users.c.status), users.c.id))
    items = [UserFigures.model_validate(dict(row)) for row in rows]
    return Page(items=items, next=cut.next([item.id for item in items]))


async def figures(runtime: Runtime[Any]) -> AuthAudit:
    """Counts only, and ids of sessions."""
    reader, messages = runtime.reader, await message_figures(runtime)
    open_sessions = await reader.first(_OPEN)
    return AuthAudit(
        at=runtime.clock.now(),
        users_by_status={row["name"]: row["rows"] for row in await reader.all(_BY_STATUS)},
        open_sessions=open_sessions["rows"] if open_sessions else 0,
        signing_keys=[row["kid"] for row in await reader.all(_KIDS)],
        live_token_astray=await _ids(reader, _ASTRAY),
        open_of_closed_account=await _ids(reader, _OF_CLOSED),
        revoked_untold=await _revoked_untold(reader, messages.kept_since),
        **dict(messages),
    )


async def _ids(reader: Reader, statement: sa.Select[tuple[UUID]]) -> list[UUID]:
    return [row["id"] for row in await reader.all(statement.order_by(sessions.c.id).limit(MAX_LISTED))]


async def _revoked_untold(reader: Reader, since: datetime) -> list[UUID]:
    """Of the latest revoked sessions those no event tells of. Events second: they were committed with the session."""
    revoked = [row["id"] for row in await reader.all(_REVOKED, {"since": since})]
    told = await reader.all(_TOLD, {"session_ids": [str(session_id) for session_id in revoked]})
    known = {row["aggregate_id"] for row in told}
    return [session_id for session_id in revoked if str(session_id) not in known]
