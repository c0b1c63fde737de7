"""Makes access tokens, and keeps the keys that sign them: sealed in the store, open in memory only."""

import base64
import hashlib
import secrets
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from auth_svc.domain.signing_key import SigningKey
from chassis.auth import VerificationKey
from chassis.ids import Ids
from contracts.claims import ACCESS_TOKEN_SECONDS, ALGORITHM, AUDIENCE, ISSUER, JWT_TYP

_NONCE_BYTES: Final = 12


class SealBrokenError(Exception):
    """A signing key in the store cannot be opened: AUTH_MASTER_KEY is not the one it was sealed with."""


class Vault:
    """Seals private keys with the master key (AES-256-GCM, the kid as associated data)."""

    def __init__(self, master_key: str) -> None:
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"orderflow signing keys")
        self._cipher = AESGCM(kdf.derive(master_key.encode()))

    def make_key(self, not_before: datetime) -> SigningKey:
        """A new key pair; the kid says when it begins and is never used twice."""
        private = Ed25519PrivateKey.generate()
        kid = f"{not_before:%Y%m%d}-{secrets.token_hex(6)}"
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, private.private_bytes_raw(), kid.encode())
        public = private.public_key().public_bytes_raw()
        return SigningKey.make(kid, public_key=public, sealed=sealed, not_before=not_before)

    def open(self, key: SigningKey) -> Ed25519PrivateKey:
        """The private half.

        Raises:
            SealBrokenError: it was sealed with another master key.
        """
        nonce, sealed = key.sealed[:_NONCE_BYTES], key.sealed[_NONCE_BYTES:]
        try:
            return Ed25519PrivateKey.from_private_bytes(self._cipher.decrypt(nonce, sealed, key.kid.encode()))
        except InvalidTag:
            raise SealBrokenError(
                f"signing key {key.kid} cannot be opened: AUTH_MASTER_KEY is not the one it was sealed with. "
                "Start with that one, or take the keys out of the store; every session must then log in again."
            ) from None


class Keyring:
    """The open keys of this process."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[str, tuple[SigningKey, Ed25519PrivateKey]] = {}

    def replace(self, keys: list[SigningKey]) -> None:
        """Hold exactly these.

        Raises:
            SealBrokenError: one of them cannot be opened.
        """
        opened = {kid: private for kid, (_, private) in self._keys.items()}
        self._keys = {key.kid: (key, opened.get(key.kid) or self._vault.open(key)) for key in keys}

    def signing(self, now: datetime) -> tuple[SigningKey, Ed25519PrivateKey]:
        """The newest key that may sign now.

        Raises:
            LookupError: there is none; one is made at start and renewed a day before its end.
        """
        usable = [pair for pair in self._keys.values() if pair[0].may_sign(now)]
        if not usable:
            raise LookupError("no signing key may be used now")
        return max(usable, key=lambda pair: (pair[0].not_before, pair[0].kid))

    def published(self, now: datetime) -> list[SigningKey]:
        """Every key a verifier may need, the coming one included."""
        return sorted((key for key, _ in self._keys.values() if key.is_needed(now)), key=lambda key: key.not_before)


class TokenIssuer:
    """Signs access tokens."""

    def __init__(self, keyring: Keyring, ids: Ids) -> None:
        self._keyring = keyring
        self._ids = ids

    def issue(self, user_id: UUID, session_id: UUID, roles: tuple[str, ...], now: datetime) -> str:
        """A token for the next ten minutes.

        Raises:
            LookupError: no key may sign now.
        """
        key, private = self._keyring.signing(now)
        issued = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "roles": list(roles),
            "iat": issued,
            "exp": issued + ACCESS_TOKEN_SECONDS,
            "jti": str(self._ids.new()),
        }
        return jwt.encode(claims, private, algorithm=ALGORITHM, headers={"typ": JWT_TYP, "kid": key.kid})


def new_refresh_token() -> str:
    """256 random bits, base64url."""
    return secrets.token_urlsafe(32)


def refresh_hash(token: str) -> str:
    """What is kept of a refresh token. It is random, so a plain hash is as good as a slow one."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def verification_key(key: SigningKey) -> VerificationKey:
    return VerificationKey(key.kid, key.public_key, key.not_before, key.expires_at)


def jwk(key: SigningKey) -> dict[str, str | int]:
    """The public half as RFC 8037 has it, with `nbf` and `exp` in Unix seconds."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": ALGORITHM,
        "kid": key.kid,
        "x": base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
        "nbf": int(key.not_before.timestamp()),
        "exp": int(key.expires_at.timestamp()),
    }
