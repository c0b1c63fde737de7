"""Events auth_svc publishes. None carries personal data: an e-mail address never leaves auth's own store."""

from datetime import datetime
from uuid import UUID

from contracts.envelope import Event


class UserRegistered(Event, wire_name="user.registered.v1", subject="user_id"):
    """An account exists. `roles` are those of contracts.claims."""

    user_id: UUID
    roles: list[str]


class UserDisabled(Event, wire_name="user.disabled.v1", subject="user_id"):
    """An operator closed the account; its sessions are revoked by their own events."""

    user_id: UUID
    reason: str


class UserErased(Event, wire_name="user.erased.v1", subject="user_id"):
    """The account's personal data is gone; the id stays as an opaque reference in orders."""

    user_id: UUID


class SessionRevoked(Event, wire_name="session.revoked.v1", subject="session_id"):
    """No token of this session may be accepted any more. After `until` every one of them has expired by itself."""

    session_id: UUID
    user_id: UUID
    reason: str
    until: datetime


class SigningKeyPublished(Event, wire_name="signing_key.published.v1", subject="kid"):
    """A public key that access tokens may be signed with from `not_before` to `expires_at`.

    `public_key` is the raw 32-byte Ed25519 key, base64url without padding (the `x` of RFC 8037).
    """

    kid: str
    algorithm: str
    public_key: str
    not_before: datetime
    expires_at: datetime
