"""A key that signs access tokens: when it may be used, and what the others must know of it."""

import base64
from datetime import datetime, timedelta
from typing import Final

from chassis.seedwork import AggregateRoot
from contracts.auth import SigningKeyPublished
from contracts.claims import ALGORITHM, CLOCK_LEEWAY_SECONDS, MAX_TOKEN_SECONDS

LIFE: Final = timedelta(days=30)
ANNOUNCED: Final = timedelta(minutes=10)
"""How long before its first use a key is published, so that every verifier knows it by then."""
RENEWED: Final = timedelta(days=1)
"""How long before the newest key ends the next one is made."""


class SigningKey(AggregateRoot):
    """An Ed25519 key. `sealed` is the private half, encrypted; it signs from `not_before` to `expires_at`."""

    def __init__(
        self,
        *,
        kid: str,
        public_key: bytes,
        sealed: bytes,
        not_before: datetime,
        expires_at: datetime,
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.kid = kid
        self.public_key = public_key
        self.sealed = sealed
        self.not_before = not_before
        self.expires_at = expires_at

    @classmethod
    def make(cls, kid: str, *, public_key: bytes, sealed: bytes, not_before: datetime) -> "SigningKey":
        key = cls(kid=kid, public_key=public_key, sealed=sealed, not_before=not_before, expires_at=not_before + LIFE)
        key.publish()
        return key

    def publish(self) -> None:
        """Tell everyone (again): whoever lost its store or starts for the first time learns the key from this."""
        self.record(
            SigningKeyPublished(
                kid=self.kid,
                algorithm=ALGORITHM,
                public_key=base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode(),
                not_before=self.not_before,
                expires_at=self.expires_at,
            )
        )

    def withdraw(self, now: datetime) -> bool:
        """Sign no more from now on and let nobody trust what is signed later; False if it has ended before."""
        if self.expires_at <= now:
            return False
        self.expires_at = now
        self.publish()
        return True

    def may_sign(self, now: datetime) -> bool:
        return self.not_before <= now < self.expires_at

    def is_needed(self, now: datetime) -> bool:
        """Whether some token it signed may still be valid, or will be."""
        return now < self.expires_at + timedelta(seconds=MAX_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS)
