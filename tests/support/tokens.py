"""Access tokens for tests: a key of our own, so that no test needs auth_svc to be somebody."""

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.auth import VerificationKey
from contracts.auth import SigningKeyPublished
from contracts.claims import ACCESS_TOKEN_SECONDS, ALGORITHM, AUDIENCE, CUSTOMER, ISSUER, JWT_TYP


class TokenMint:
    """Makes tokens as auth_svc does; any claim or header can be overridden, None leaves it out."""

    def __init__(self, kid: str = "test-key") -> None:
        self.kid = kid
        self.private_key = Ed25519PrivateKey.generate()
        self.public_key = self.private_key.public_key().public_bytes_raw()
        self.not_before = datetime(2020, 1, 1, tzinfo=UTC)
        self.expires_at = datetime(2100, 1, 1, tzinfo=UTC)

    @property
    def verification_key(self) -> VerificationKey:
        return VerificationKey(self.kid, self.public_key, self.not_before, self.expires_at)

    @property
    def published(self) -> SigningKeyPublished:
        encoded = base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode()
        return SigningKeyPublished(
            kid=self.kid,
            algorithm=ALGORITHM,
            public_key=encoded,
            not_before=self.not_before,
            expires_at=self.expires_at,
        )

    def claims(self, user_id: UUID | None = None, *, roles: tuple[str, ...] = (CUSTOMER,), now: float = 0) -> Any:
        issued = int(now or time.time())
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id or uuid4()),
            "sid": str(uuid4()),
            "roles": list(roles),
            "iat": issued,
            "exp": issued + ACCESS_TOKEN_SECONDS,
            "jti": str(uuid4()),
        }

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        header = {"typ": JWT_TYP, "kid": self.kid, **headers}
        return jwt.encode(claims, self.private_key, algorithm=ALGORITHM, headers=header)

    def token(self, user_id: UUID | None = None, *, roles: tuple[str, ...] = (CUSTOMER,), **claims: Any) -> str:
        """A token for this user; extra keyword arguments replace claims."""
        merged = {**self.claims(user_id, roles=roles), **claims}
        return self.sign({name: value for name, value in merged.items() if value is not None})

    def headers(self, user_id: UUID | None = None, *, roles: tuple[str, ...] = (CUSTOMER,)) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user_id, roles=roles)}"}


class MutableClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime | None = None) -> None:
        self.current = now or datetime.now(UTC)

    def now(self) -> datetime:
        return self.current

    def advance(self, seconds: float) -> None:
        self.current += timedelta(seconds=seconds)
