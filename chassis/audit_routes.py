"""The operator's routes every service has for an audit of the whole shop: its messages and its idempotency keys."""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.engine import RowMapping
from starlette.responses import Response

from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer, CanonicalUuid
from chassis.figures import (
    MAX_LISTED,
    Cut,
    MessageDigests,
    MessageId,
    Page,
    Span,
    message_digests,
    received_ids,
    sent_ids,
)
from chassis.problems import ProblemError
from chassis.runtime import Runtime
from chassis.unit_of_work import RuntimeTables

HOUR: Final = 3_600
PAGE: Final = 250
"""Rows of a page: what can be put together without keeping the event loop from other requests for long."""
_MAX_SECONDS: Final = 1 << 40
_NAMED_FIRST: Final = re.compile(r'\{"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_HEAD: Final = 48
"""Characters of a stored answer to read: ours name what they made in their first field."""


class UsedKey(Answer):
    """A key whose request made something: `made`, as the stored answer says; null if it names nothing."""

    at: datetime
    route: str
    made: UUID | None


class UsedKeys(Answer):
    """Give `next` back as `after` for the next part, null at the end. Keys used after `kept_since` are all there."""

    kept_since: datetime
    items: list[UsedKey]
    next: str | None


async def _runtime(request: Request) -> Runtime[Any]:
    runtime: Runtime[Any] = request.app.state.runtime
    return runtime


async def _cut(
    after: Annotated[CanonicalUuid | None, Query()] = None,
    until: Annotated[CanonicalUuid | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = PAGE,
) -> Cut:
    return Cut(after, until, limit)


async def _span(
    since: Annotated[int, Query(ge=0, le=_MAX_SECONDS)] = 0,
    until_before: Annotated[int | None, Query(ge=0, le=_MAX_SECONDS)] = None,
) -> Span:
    return Span(since, until_before)


PageCut = Annotated[Cut, Depends(_cut)]
"""`after`, `until` (ids, the first without itself, the second with) and `limit` of a list."""
Running = Annotated[Runtime[Any], Depends(_runtime)]
Made = Annotated[Span, Depends(_span)]
Side = Literal["sent", "received"]
WireName = Annotated[str, Query(max_length=80)]


def audit_routes(prefix: str) -> APIRouter:
    """The routes below `prefix` (`/orders`)."""
    router = APIRouter(prefix=f"{prefix}/audit", tags=["audit"])

    @router.get("/messages", response_model=MessageDigests)
    async def digests(
        principal: Operator, runtime: Running, made: Made, bucket: Annotated[int, Query(ge=60, le=86_400)] = HOUR
    ) -> Response:
        """Digests of the ids sent and received that were made in a span of time, per type and bucket (seconds)."""
        return as_json(await message_digests(runtime.reader, _tables(runtime), made, bucket=bucket))

    @router.get("/messages/{side}", response_model=Page[MessageId])
    async def ids(
        side: Side, principal: Operator, runtime: Running, type: WireName, made: Made, cut: PageCut
    ) -> Response:
        """The ids themselves, of one type; `sent` has those the broker has not confirmed, too."""
        look = sent_ids if side == "sent" else received_ids
        return as_json(await look(runtime.reader, _tables(runtime), type, made, cut))

    @router.get("/keys")
    async def keys(
        principal: Operator,
        runtime: Running,
        after: Annotated[str | None, Query(max_length=700)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
    ) -> UsedKeys:
        """What the kept idempotency keys made."""
        table, now = _tables(runtime).idempotency, runtime.clock.now()
        rows = await _used_keys(runtime.reader, table, after, limit)
        return UsedKeys(
            kept_since=now - runtime.retention.idempotency_keys,
            items=[UsedKey(at=row["created_at"], route=row["route"], made=_made(row)) for row in rows],
            next=_encode_cursor(rows[-1]) if len(rows) == limit else None,
        )

    return router


def as_json(answer: Answer) -> Response:
    """The answer as it is: a long list is not validated a second time on its way out."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _tables(runtime: Runtime[Any]) -> RuntimeTables:
    return runtime.definition.tables


async def _used_keys(reader: Reader, table: sa.Table, after: str | None, limit: int) -> Sequence[RowMapping]:
    t = table.c
    place = (t.user_id, t.route, t.key)
    head = sa.func.substr(t.body, 1, _HEAD).label("head")
    # A request whose process died has no answer yet, but what it makes is named already.
    named = sa.or_(t.status == 201, t.resource_id.isnot(None))
    statement = sa.select(*place, t.created_at, t.resource_id, head).where(named)
    if after is not None:
        statement = statement.where(sa.tuple_(*place) > sa.tuple_(*_decode_cursor(after)))
    return await reader.all(statement.order_by(*place).limit(limit))


def _made(row: RowMapping) -> UUID | None:
    if row["head"] is None:
        resource_id: UUID = row["resource_id"]
        return resource_id
    found = _NAMED_FIRST.match(row["head"])
    return UUID(found[1]) if found else None


def _encode_cursor(last: RowMapping) -> str:
    place = [str(last["user_id"]), last["route"], last["key"]]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[UUID, str, str]:
    try:
        user_id, route, key = json.loads(base64.urlsafe_b64decode(cursor + "=="))
        return UUID(user_id), str(route), str(key)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise ProblemError(400, "bad-cursor") from None
