"""Keeps this process's keyring and verifier in step with the store, whichever process changed it."""

from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from auth_svc.domain.session import TOKENS_OUTLIVE, Session
from auth_svc.domain.signing_key import SigningKey
from auth_svc.store import sessions, signing_keys
from auth_svc.tokens import Keyring, verification_key
from chassis.auth import TokenVerifier
from chassis.clock import Clock
from chassis.db import Reader

_OVERLAP: Final = timedelta(seconds=30)


class KeyFeed:
    """`load` at start, `refresh` every two seconds."""

    def __init__(self, reader: Reader, keyring: Keyring, verifier: TokenVerifier, clock: Clock) -> None:
        self._reader = reader
        self._keyring = keyring
        self._verifier = verifier
        self._clock = clock
        self._seen_until = datetime(1970, 1, 1, tzinfo=UTC)

    async def refresh(self) -> int:
        """Re-read the keys, and the sessions that ended lately; the number of the latter.

        Raises:
            SealBrokenError: a key cannot be opened with our master key.
        """
        now = self._clock.now()
        rows = await self._reader.all(sa.select(signing_keys).where(signing_keys.c.expires_at > now - TOKENS_OUTLIVE))
        keys = [SigningKey(**row) for row in rows]
        self._keyring.replace(keys)
        for key in keys:
            self._verifier.add_key(verification_key(key))
        since = max(self._seen_until, now - TOKENS_OUTLIVE)
        ended = await self._reader.all(
            sa.select(sessions.c.id, sessions.c.revoked_at).where(sessions.c.revoked_at >= since)
        )
        for row in ended:
            self._verifier.revoke(row["id"], Session.revoked_until(row["revoked_at"]))
        self._seen_until = now - _OVERLAP
        self._verifier.prune()
        return len(ended)
