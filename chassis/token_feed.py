"""How a service learns signing keys and revoked sessions: auth's events into its own store, from there into memory.

So tokens are verified while auth_svc is down, also after a restart. Instances that share a store re-read it every two
seconds, because an event reaches only one of them.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from chassis.auth import TokenVerifier, VerificationKey
from chassis.clock import Clock
from chassis.db import Reader, UtcDateTime
from chassis.projections import Projection
from chassis.sessions import Connection
from chassis.sweeps import Sweep
from chassis.unit_of_work import UnitOfWork
from chassis.writer import Writer
from contracts.auth import SessionRevoked, SigningKeyPublished
from contracts.claims import ALGORITHM
from contracts.envelope import Event

log = structlog.get_logger()

REFRESH_EVERY: Final = timedelta(seconds=2)
PRUNE_EVERY: Final = timedelta(minutes=5)
FETCH_EVERY: Final = timedelta(seconds=30)
FETCH_TIMEOUT_SECONDS: Final = 3.0
MAX_JWKS_BYTES: Final = 64 * 1024
FETCHED_KEY_LIFE: Final = timedelta(days=1)
_OVERLAP: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TokenTables:
    """What a service remembers of auth's facts."""

    keys: sa.Table
    revocations: sa.Table


def token_tables(metadata: sa.MetaData) -> TokenTables:
    """Declare the two tables in a service's metadata."""
    return TokenTables(
        keys=sa.Table(
            "token_keys",
            metadata,
            sa.Column("kid", sa.String(64), primary_key=True),
            sa.Column("public_key", sa.String(64), nullable=False),
            sa.Column("not_before", UtcDateTime, nullable=False),
            sa.Column("expires_at", UtcDateTime, nullable=False),
        ),
        revocations=sa.Table(
            "revoked_sessions",
            metadata,
            sa.Column("session_id", sa.Uuid, primary_key=True),
            sa.Column("until", UtcDateTime, nullable=False, index=True),
            sa.Column("recorded_at", UtcDateTime, nullable=False, index=True),
        ),
    )


def token_projections(tables: TokenTables) -> tuple[Projection, ...]:
    """How the two tables are made again from auth's events."""
    return (
        Projection(tables.keys, (SigningKeyPublished,)),
        Projection(tables.revocations, (SessionRevoked,), stamped="recorded_at", until="until"),
    )


class TokenFeed:
    """Keeps a TokenVerifier up to date. Put `subscriptions` and `sweeps` into the service, `await load()` at start."""

    def __init__(
        self,
        tables: TokenTables,
        verifier: TokenVerifier,
        reader: Reader,
        clock: Clock,
        *,
        jwks_url: str | None = None,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tables = tables
        self._verifier = verifier
        self._reader = reader
        self._clock = clock
        self._jwks_url = jwks_url
        self._http = http
        self._next_fetch = datetime(1970, 1, 1, tzinfo=UTC)
        self._seen_until = datetime(1970, 1, 1, tzinfo=UTC)
        verifier.find_key = self.find_key

    @property
    def subscriptions(self) -> Mapping[type[Event], Callable[[Any, UnitOfWork], Awaitable[None]]]:
        """What to add to the service's own table of subscriptions."""
        return {SigningKeyPublished: self.on_signing_key_published, SessionRevoked: self.on_session_revoked}

    def sweeps(self, writer: Writer[Any]) -> tuple[Sweep, ...]:
        """Re-reading and pruning, to be run by the service."""

        async def prune() -> int:
            return await writer.run_now(self.prune)

        return (Sweep("token_refresh", REFRESH_EVERY, self.refresh), Sweep("token_prune", PRUNE_EVERY, prune))

    async def on_signing_key_published(self, event: SigningKeyPublished, uow: UnitOfWork) -> None:
        if event.algorithm != ALGORITHM:
            log.warning("tokens.key_ignored", kid=event.kid, algorithm=event.algorithm)
            return
        t = self._tables.keys
        ends = [row["expires_at"] for row in await uow.fetch(sa.select(t.c.expires_at).where(t.c.kid == event.kid))]
        # Events come in any order: a key's end only ever moves nearer, so one that was withdrawn stays withdrawn.
        expires_at = min([event.expires_at, *ends])
        key = VerificationKey(event.kid, _decode_key(event.public_key), event.not_before, expires_at)
        row = {
            "kid": event.kid,
            "public_key": event.public_key,
            "not_before": event.not_before,
            "expires_at": expires_at,
        }
        await _put(uow.connection, t, row, "expires_at")
        uow.after_commit(lambda: self._verifier.add_key(key))

    async def on_session_revoked(self, event: SessionRevoked, uow: UnitOfWork) -> None:
        row = {"session_id": event.session_id, "until": event.until, "recorded_at": uow.now}
        await _put(uow.connection, self._tables.revocations, row, "until")
        uow.after_commit(lambda: self._verifier.revoke(event.session_id, event.until))

    async def load(self) -> None:
        """Read everything the store knows. Call it before the first request."""
        await self.refresh()

    async def refresh(self) -> int:
        """Learn what other instances have written since; the number of revocations met."""
        started = self._clock.now()
        await self._load_keys()
        t = self._tables.revocations
        rows = await self._reader.all(sa.select(t).where(t.c.recorded_at >= self._seen_until, t.c.until > started))
        for row in rows:
            self._verifier.revoke(row["session_id"], row["until"])
        self._seen_until = started - _OVERLAP
        self._verifier.prune()
        return len(rows)

    async def prune(self, uow: UnitOfWork) -> int:
        """Delete revocations whose tokens have expired by themselves."""
        t = self._tables.revocations
        return await uow.execute(t.delete().where(t.c.until <= uow.now))

    async def find_key(self, kid: str) -> bool:
        """Look for a key by name: in the store, where another instance may have put it, then at auth's own address.

        At most once in 30 seconds, whatever clients send; never at an address a token names.
        """
        now = self._clock.now()
        if now < self._next_fetch:
            return False
        self._next_fetch = now + FETCH_EVERY
        if kid in await self._load_keys():
            return True
        return self._jwks_url is not None and kid in await self._fetch(self._jwks_url)

    async def _load_keys(self) -> set[str]:
        rows = await self._reader.all(sa.select(self._tables.keys))
        for row in rows:
            self._verifier.add_key(
                VerificationKey(row["kid"], _decode_key(row["public_key"]), row["not_before"], row["expires_at"])
            )
        return {row["kid"] for row in rows}

    async def _fetch(self, url: str) -> set[str]:
        """The kids of auth's published keys, now known; none if it cannot be asked, and those we have stay."""
        try:
            async with httpx.AsyncClient(
                timeout=FETCH_TIMEOUT_SECONDS, transport=self._http, trust_env=False
            ) as client:
                response = (await client.get(url)).raise_for_status()
                keys = [] if len(response.content) > MAX_JWKS_BYTES else _parse_jwks(response.json(), self._clock.now())
        except (httpx.HTTPError, ValueError, KeyError, TypeError, OverflowError) as error:
            log.warning("tokens.jwks_unavailable", error=type(error).__name__)
            return set()
        for key in keys:
            if not self._verifier.knows(key.kid):
                self._verifier.add_key(key)
        return {key.kid for key in keys}


async def _put(connection: Connection, table: sa.Table, row: dict[str, Any], *renewed: str) -> None:
    """Insert, or renew these columns: auth publishes its keys again whenever it starts."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = (
        insert(table)
        .values(row)
        .on_conflict_do_update(index_elements=list(table.primary_key), set_={name: row[name] for name in renewed})
    )
    await connection.execute(statement)


def _decode_key(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parse_jwks(document: Any, now: datetime) -> list[VerificationKey]:
    return [
        VerificationKey(str(key["kid"]), _decode_key(key["x"]), *_key_times(key, now))
        for key in document["keys"]
        if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
    ]


def _key_times(key: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Our auth_svc adds `nbf` and `exp` to a JWK; without them a key that is listed is good for a day."""
    start, end = key.get("nbf"), key.get("exp")
    return (
        datetime.fromtimestamp(start, UTC) if isinstance(start, int) else now - FETCHED_KEY_LIFE,
        datetime.fromtimestamp(end, UTC) if isinstance(end, int) else now + FETCHED_KEY_LIFE,
    )
