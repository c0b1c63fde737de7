"""Who is asking: bearer token → Principal, verified offline against keys and revocations held in memory.

Tokens are JWTs of contracts.claims: exactly one algorithm, `typ` checked (RFC 9068), times checked by us because the
library takes a string `exp` or one in a thousand years for good. `jku`, `x5u` and `jwk` headers mean nothing here;
`kid` is a dictionary key.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer as BearerScheme
from fastapi.security.base import SecurityBase

from chassis.clock import Clock
from chassis.fields import canonical_uuid
from chassis.problems import ProblemError
from contracts.claims import (
    ALGORITHM,
    AUDIENCE,
    CLOCK_LEEWAY_SECONDS,
    CUSTOMER,
    ISSUER,
    JWT_TYP,
    MAX_TOKEN_BYTES,
    MAX_TOKEN_SECONDS,
    OPERATOR,
)

log = structlog.get_logger()

MAX_CACHED: Final = 10_000
CACHE_SECONDS: Final = 60
_REQUIRED: Final = ["iss", "aud", "sub", "sid", "roles", "iat", "exp", "jti"]
# Our own checks follow the injected clock and insist on integers.
_OPTIONS: Final[Any] = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Principal:
    """The user a verified token speaks for."""

    user_id: UUID
    session_id: UUID
    roles: frozenset[str]

    @property
    def is_operator(self) -> bool:
        return OPERATOR in self.roles


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A raw 32-byte Ed25519 public key that tokens issued from `not_before` to `expires_at` may be signed with.

    Raises:
        ValueError: it is not one.
    """

    kid: str
    public_key: bytes
    not_before: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        Ed25519PublicKey.from_public_bytes(self.public_key)


class InvalidTokenError(Exception):
    """The token proves nothing; why is for the log, not for the client."""


class UnknownKeyError(InvalidTokenError):
    """No key of that name is known (yet)."""

    def __init__(self, kid: str) -> None:
        super().__init__("unknown kid")
        self.kid = kid


class TokenVerifier:
    """Verifies access tokens from memory. `find_key` is asked for an unknown kid; it adds the key and returns True."""

    def __init__(self, clock: Clock, find_key: Callable[[str], Awaitable[bool]] | None = None) -> None:
        self._clock = clock
        self.find_key = find_key
        self._keys: dict[str, tuple[VerificationKey, Ed25519PublicKey]] = {}
        self._revoked: dict[UUID, datetime] = {}
        self._verified: dict[bytes, tuple[Principal, float]] = {}

    @property
    def ready(self) -> bool:
        """Whether there is any key to verify with."""
        return bool(self._keys)

    def add_key(self, key: VerificationKey) -> None:
        """Trust a key. A kid is never reused: other material under a known name is ignored, and logged."""
        known = self._keys.get(key.kid)
        if known is not None and known[0].public_key != key.public_key:
            log.error("tokens.kid_reused", kid=key.kid)
            return
        self._keys[key.kid] = (key, Ed25519PublicKey.from_public_bytes(key.public_key))

    def knows(self, kid: str) -> bool:
        return kid in self._keys

    def revoke(self, session_id: UUID, until: datetime) -> None:
        """Refuse the session's tokens, those verified a moment ago included."""
        self._revoked[session_id] = until

    def prune(self) -> None:
        """Forget revocations whose tokens have expired by themselves, and keys that signed only such."""
        now = self._clock.now()
        self._revoked = {session: until for session, until in self._revoked.items() if until > now}
        horizon = now.timestamp() - MAX_TOKEN_SECONDS - CLOCK_LEEWAY_SECONDS
        self._keys = {kid: pair for kid, pair in self._keys.items() if pair[0].expires_at.timestamp() > horizon}

    async def authenticate(self, token: str) -> Principal:
        """`verify`, with one attempt to learn an unknown key."""
        try:
            return self.verify(token)
        except UnknownKeyError as error:
            if self.find_key is None or not await self.find_key(error.kid):
                raise
        return self.verify(token)

    def verify(self, token: str) -> Principal:
        """The principal of a valid token.

        Raises:
            InvalidTokenError: it is not one, or its session is revoked.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidTokenError("too long")
        now = self._clock.now().timestamp()
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        principal, valid_until = self._verified.get(digest, (None, 0.0))
        if principal is None or valid_until <= now:
            principal, expires = self._check(token, now)
            self._remember(digest, principal, min(expires, now + CACHE_SECONDS))
        if principal.session_id in self._revoked:
            raise InvalidTokenError("session revoked")
        return principal

    def _check(self, token: str, now: float) -> tuple[Principal, float]:
        key, public_key = self._key_of(_header(token))
        try:
            claims = jwt.decode(
                token, public_key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError(type(error).__name__) from None
        _check_times(claims, key, now)
        return _principal(claims), float(claims["exp"] + CLOCK_LEEWAY_SECONDS)

    def _key_of(self, header: dict[str, Any]) -> tuple[VerificationKey, Ed25519PublicKey]:
        kid, typ = header.get("kid"), header.get("typ")
        if header.get("alg") != ALGORITHM or not isinstance(typ, str) or typ.lower() != JWT_TYP or "crit" in header:
            raise InvalidTokenError("header")
        if not isinstance(kid, str) or not 0 < len(kid) <= 64:
            raise InvalidTokenError("kid")
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKeyError(kid) from None

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        if len(self._verified) >= MAX_CACHED:
            self._verified.pop(next(iter(self._verified)))
        self._verified[digest] = (principal, until)


class Bearer(SecurityBase):
    """The dependency behind `Customer`, `Operator` and `AnyUser`; `role` is public for the OpenAPI document.

    Raises (as problems): 401 unauthenticated, 403 forbidden.
    """

    def __init__(self, role: str | None = None) -> None:
        self.model = BearerScheme(bearerFormat="JWT")
        self.scheme_name = "bearer"
        self.role = role

    async def __call__(self, request: Request) -> Principal:
        verifier: TokenVerifier = request.app.state.verifier
        try:
            principal = await verifier.authenticate(_bearer_token(request))
        except InvalidTokenError:
            raise ProblemError(
                401, "unauthenticated", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
            ) from None
        if self.role is not None and self.role not in principal.roles:
            raise ProblemError(
                403, "forbidden", headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
            ) from None
        return principal


AnyUser = Annotated[Principal, Depends(Bearer())]
Customer = Annotated[Principal, Depends(Bearer(CUSTOMER))]
Operator = Annotated[Principal, Depends(Bearer(OPERATOR))]


def _bearer_token(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if not values:
        raise ProblemError(401, "unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token:
        raise InvalidTokenError("not one bearer token")
    return token


def _header(token: str) -> dict[str, Any]:
    part = token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidTokenError("not a JWT") from None
    if not isinstance(header, dict):
        raise InvalidTokenError("not a JWT")
    return header


def _check_times(claims: dict[str, Any], key: VerificationKey, now: float) -> None:
    issued, expires, not_before = claims["iat"], claims["exp"], claims.get("nbf", 0)
    if type(issued) is not int or type(expires) is not int or type(not_before) is not int:
        raise InvalidTokenError("times are integers")
    if not 0 < expires - issued <= MAX_TOKEN_SECONDS:
        raise InvalidTokenError("lifetime")
    if expires + CLOCK_LEEWAY_SECONDS <= now or max(issued, not_before) - CLOCK_LEEWAY_SECONDS > now:
        raise InvalidTokenError("not valid now")
    earliest = key.not_before.timestamp() - CLOCK_LEEWAY_SECONDS
    if not earliest <= issued <= key.expires_at.timestamp() + CLOCK_LEEWAY_SECONDS:
        raise InvalidTokenError("not issued in the key's time")


def _principal(claims: dict[str, Any]) -> Principal:
    roles = claims["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise InvalidTokenError("roles")
    if not isinstance(claims["jti"], str) or not isinstance(claims["sub"], str) or not isinstance(claims["sid"], str):
        raise InvalidTokenError("ids")
    try:
        user_id, session_id = UUID(canonical_uuid(claims["sub"])), UUID(canonical_uuid(claims["sid"]))
    except ValueError:
        raise InvalidTokenError("ids") from None
    return Principal(user_id, session_id, frozenset(roles))
