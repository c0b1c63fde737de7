"""An account: who may log in, with which roles, and how their data goes away."""

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.seedwork import AggregateRoot, DomainError, ErrorKind, Transitions
from contracts.auth import UserDisabled, UserErased, UserRegistered

MAX_EMAIL = 254
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f,;:<>()\[\]\"\\]{1,64}@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)+")


class UserStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    ERASED = "erased"


TRANSITIONS = Transitions(
    {
        UserStatus.ACTIVE: {UserStatus.DISABLED, UserStatus.ERASED},
        UserStatus.DISABLED: {UserStatus.ERASED},
        UserStatus.ERASED: set(),
    }
)


def normalize_email(text: str) -> str:
    """The one spelling an address is kept and compared in: NFC, case folded.

    Raises:
        DomainError: `validation`, if it does not look like an address. Whether it exists only a letter can tell.
    """
    email = unicodedata.normalize("NFC", text).casefold()
    if len(email) > MAX_EMAIL or not _EMAIL.fullmatch(email):
        raise DomainError("invalid-email", ErrorKind.INVALID, "This is not an e-mail address.")
    return email


class User(AggregateRoot):
    """An account. After `erase` nothing personal is left of it but its id."""

    def __init__(
        self,
        *,
        id: UUID,
        email: str | None,
        name: str,
        password_hash: str | None,
        roles: tuple[str, ...],
        status: UserStatus,
        created_at: datetime,
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.id = id
        self.email = email
        self.name = name
        self.password_hash = password_hash
        self.roles = roles
        self.status = status
        self.created_at = created_at

    @classmethod
    def register(
        cls, id: UUID, *, email: str, name: str, password_hash: str, roles: tuple[str, ...], now: datetime
    ) -> "User":
        user = cls(
            id=id,
            email=email,
            name=name,
            password_hash=password_hash,
            roles=roles,
            status=UserStatus.ACTIVE,
            created_at=now,
        )
        user.record(UserRegistered(user_id=id, roles=list(roles)))
        return user

    @property
    def is_active(self) -> bool:
        return self.status is UserStatus.ACTIVE

    def set_password(self, password_hash: str) -> None:
        """A new password, or the old one hashed with newer parameters."""
        self.password_hash = password_hash

    def disable(self, reason: str) -> None:
        """Close the account.

        Raises:
            IllegalTransitionError: it is closed already.
        """
        self.status = TRANSITIONS.move(self.status, UserStatus.DISABLED)
        self.record(UserDisabled(user_id=self.id, reason=reason))

    def erase(self) -> None:
        """Forget everything personal.

        Raises:
            IllegalTransitionError: it is gone already.
        """
        self.status = TRANSITIONS.move(self.status, UserStatus.ERASED)
        self.email = None
        self.name = ""
        self.password_hash = None
        self.record(UserErased(user_id=self.id))
