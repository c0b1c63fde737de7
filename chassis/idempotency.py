"""Idempotency-Key: the answer of the first request is stored with its effect and given to every repetition.

Semantics of draft-ietf-httpapi-idempotency-key-header and of Stripe's API: a key belongs to one user and route;
the same key with another body is refused; refusals made before execution are not stored.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from chassis.db import UtcDateTime
from chassis.failpoints import Failpoints
from chassis.seedwork import DomainError, ErrorKind
from chassis.sessions import Connection

LEASE = timedelta(seconds=30)
"""How long a started, unfinished request is taken to be still running."""


def idempotency_table(metadata: sa.MetaData) -> sa.Table:
    """One row per used key; `status` is null while a request that needs an outside call is still running."""
    return sa.Table(
        "idempotency_keys",
        metadata,
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("route", sa.String(80), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.Uuid),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.Text),
        sa.Column("headers", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
        sa.Column("leased_until", UtcDateTime),
    )


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """One use of a key. `fingerprint` is the SHA-256 hex digest of path and body."""

    user_id: UUID
    route: str
    key: str
    fingerprint: str

    @property
    def scope(self) -> tuple[UUID, str, str]:
        return (self.user_id, self.route, self.key)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An HTTP answer as bytes, so that a repetition is the same to the last byte."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The key's first request made `resource_id` and then its process died: resume that, never start again."""

    resource_id: UUID


class IdempotencyLog:
    """The keys of one transaction: preloaded for a whole batch, looked up in memory, flushed with the batch."""

    def __init__(self, connection: Connection, table: sa.Table, failpoints: Failpoints) -> None:
        self._connection = connection
        self._table = table
        self._failpoints = failpoints
        self._known: dict[tuple[UUID, str, str], _Entry | None] = {}
        self._changed: set[tuple[UUID, str, str]] = set()

    async def preload(self, requests: Iterable[IdempotentRequest]) -> None:
        """Look up the keys of a batch in one query.

        Their rows are locked, in the order of the keys: the request may be here and in another process at once.
        """
        scopes = {request.scope for request in requests} - self._known.keys()
        if not scopes:
            return
        rows = await self._connection.execute(_select_scopes(self._table), {"scopes": sorted(scopes)})
        self._known.update(dict.fromkeys(scopes))
        for row in rows.mappings():
            self._known[row["user_id"], row["route"], row["key"]] = _Entry.from_row(row)

    async def find(self, request: IdempotentRequest, now: datetime) -> StoredResponse | Interrupted | None:
        """What became of the key: None if it is new.

        Raises:
            DomainError: `idempotency-key-reused` (another body), `idempotency-in-progress` (still running).
        """
        await self.preload([request])
        entry = self._known[request.scope]
        if entry is None:
            return None
        if entry.fingerprint != request.fingerprint:
            raise DomainError(
                "idempotency-key-reused", ErrorKind.INVALID, "This key was used for a different request before."
            )
        if entry.response is not None:
            return replace(entry.response, replayed=True)
        if entry.leased_until is not None and entry.leased_until > now:
            raise DomainError(
                "idempotency-in-progress",
                ErrorKind.CONFLICT,
                "The first request with this key is still running.",
                retry_after=1,
            )
        if entry.resource_id is None:
            raise RuntimeError("an unfinished key names the resource it made")
        self._put(request, replace(entry, leased_until=now + LEASE))
        return Interrupted(entry.resource_id)

    def store(self, request: IdempotentRequest, response: StoredResponse, now: datetime) -> None:
        """Keep the answer, in the transaction of the effect it tells of."""
        entry = self._known.get(request.scope)
        if entry is None:
            entry = _Entry(request.fingerprint, now)
        self._put(request, replace(entry, response=response, leased_until=None))

    def begin(self, request: IdempotentRequest, resource_id: UUID, now: datetime) -> None:
        """Take the key for a request whose answer comes in a later transaction, after an outside call."""
        self._put(request, _Entry(request.fingerprint, now, resource_id, leased_until=now + LEASE))

    async def flush(self) -> None:
        if not self._changed:
            return
        self._failpoints.hit("idempotency.before_store")
        inserts: list[dict[str, object]] = []
        updates: list[dict[str, object]] = []
        for scope in sorted(self._changed):
            entry = self._known[scope]
            if entry is None:
                continue
            (updates if entry.stored else inserts).append(entry.to_row(scope))
            self._known[scope] = replace(entry, stored=True)
        self._changed.clear()
        if inserts:
            await self._connection.execute(_insert_into(self._table), inserts)
        if updates:
            renamed = [
                {f"b_{name}" if name in {"user_id", "route", "key"} else name: value for name, value in row.items()}
                for row in updates
            ]
            await self._connection.execute(_update_scope(self._table), renamed)
        self._failpoints.hit("idempotency.after_store")

    def _put(self, request: IdempotentRequest, entry: "_Entry") -> None:
        self._known[request.scope] = entry
        self._changed.add(request.scope)


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: str
    created_at: datetime
    resource_id: UUID | None = None
    response: StoredResponse | None = None
    leased_until: datetime | None = None
    stored: bool = False

    @classmethod
    def from_row(cls, row: RowMapping) -> "_Entry":
        response = None
        if row["status"] is not None:
            response = StoredResponse(row["status"], row["body"].encode(), json.loads(row["headers"] or "{}"))
        return cls(
            row["fingerprint"], row["created_at"], row["resource_id"], response, row["leased_until"], stored=True
        )

    def to_row(self, scope: tuple[UUID, str, str]) -> dict[str, object]:
        user_id, route, key = scope
        response = self.response
        return {
            "user_id": user_id,
            "route": route,
            "key": key,
            "fingerprint": self.fingerprint,
            "resource_id": self.resource_id,
            "status": response.status if response else None,
            "body": response.body.decode() if response else None,
            "headers": json.dumps(dict(response.headers)) if response else None,
            "created_at": self.created_at,
            "leased_until": self.leased_until,
        }


# Built once per table: to put a statement together costs more than SQLite takes to run it.


@cache
def _select_scopes(t: sa.Table) -> sa.Select[Any]:
    scope = sa.tuple_(t.c.user_id, t.c.route, t.c.key)
    wanted = scope.in_(sa.bindparam("scopes", expanding=True))
    return sa.select(t).where(wanted).order_by(t.c.user_id, t.c.route, t.c.key).with_for_update()


@cache
def _insert_into(t: sa.Table) -> sa.Insert:
    return t.insert()


@cache
def _update_scope(t: sa.Table) -> sa.Update:
    return t.update().where(
        t.c.user_id == sa.bindparam("b_user_id"),
        t.c.route == sa.bindparam("b_route"),
        t.c.key == sa.bindparam("b_key"),
    )
