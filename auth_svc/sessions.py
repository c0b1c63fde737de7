"""What lies between the HTTP door and the handlers: hashing takes time and must not happen in a transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from auth_svc import handlers, queries
from auth_svc.commands import (
    BeginAttempt,
    ChangePassword,
    CloseSession,
    DisableUser,
    EnsureOperator,
    EraseUser,
    Granted,
    OpenSession,
    Refresh,
    Register,
)
from auth_svc.domain.errors import BusyError, InvalidCredentialsError, InvalidGrantError, WrongPasswordError
from auth_svc.domain.session import IDLE
from auth_svc.domain.user import normalize_email
from auth_svc.passwords import Hasher, check_password
from auth_svc.store import AuthUnitOfWork
from auth_svc.throttling import Throttling
from auth_svc.tokens import Keyring, TokenIssuer, jwk, new_refresh_token, refresh_hash
from chassis.auth import Principal
from chassis.clock import Clock
from chassis.db import Reader
from chassis.seedwork import DomainError
from chassis.writer import Writer
from contracts.claims import ACCESS_TOKEN_SECONDS

REFRESH_SECONDS: Final = int(IDLE.total_seconds())


@dataclass(frozen=True, slots=True)
class Opened:
    """What a client gets when a session begins or goes on; times are in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_TOKEN_SECONDS
    refresh_seconds: int = REFRESH_SECONDS


@dataclass(frozen=True, slots=True)
class Sessions:
    """The steps of each conversation about accounts. `on_erased` hears when data was erased."""

    writer: Writer[AuthUnitOfWork]
    reader: Reader
    clock: Clock
    hasher: Hasher
    throttling: Throttling
    keyring: Keyring
    issuer: TokenIssuer
    secure_cookies: bool
    on_erased: Callable[[], None]

    async def register(self, email: str, password: str, name: str, client: str) -> UUID:
        """A new customer's id.

        Raises:
            DomainError: invalid-email, weak-password, email-taken, too-many-attempts, busy.
        """
        email = normalize_email(email)
        check_password(password, email)
        await self._begin(BeginAttempt((self.throttling.registration(client),)))
        password_hash = await self.hasher.hash(password)
        return await self.writer.execute(handlers.register, Register(email, name, password_hash))

    async def log_in(self, email: str, password: str, client: str) -> Opened:
        """A new session. An unknown address takes as long as a wrong password and is answered the same.

        Raises:
            DomainError: invalid-credentials, account-disabled, too-many-attempts, busy.
        """
        try:
            email = normalize_email(email)
        except DomainError:
            email = email.casefold()  # nobody's: it fails as every unknown address does
        throttles = self.throttling.login(email, client)
        await self._begin(BeginAttempt(throttles.all))
        row = await queries.candidate(self.reader, email)
        verified_hash = row["password_hash"] if row else None
        if not await self.hasher.verify(verified_hash, password) or row is None:
            raise InvalidCredentialsError
        token = new_refresh_token()
        command = OpenSession(
            user_id=row["id"],
            verified_hash=row["password_hash"],
            new_hash=await self._renewed(row["password_hash"], password),
            refresh_hash=refresh_hash(token),
            pair_throttle=throttles.pair.key,
            other_throttles=(throttles.account.key, throttles.address.key),
        )
        return self._opened(await self.writer.execute(handlers.open_session, command), token)

    async def refresh(self, presented: str) -> Opened:
        """The session goes on with new tokens; the presented one is spent.

        Raises:
            InvalidGrantError: it is unknown, spent (then the session is over for everyone), expired or revoked.
        """
        token = new_refresh_token()
        granted = await self.writer.execute(handlers.refresh, Refresh(refresh_hash(presented), refresh_hash(token)))
        if granted is None:
            raise InvalidGrantError
        return self._opened(granted, token)

    async def log_out(self, *, session_id: UUID | None = None, refresh_token: str | None = None) -> None:
        """End a session; one that is over or unknown is no error."""
        presented = refresh_hash(refresh_token) if refresh_token is not None else None
        await self.writer.execute(handlers.close_session, CloseSession(session_id, presented))

    async def change_password(self, principal: Principal, current: str, new: str) -> None:
        """Set a new password and end the user's other sessions.

        Raises:
            DomainError: wrong-password, weak-password, too-many-attempts, busy.
        """
        row = await queries.user(self.reader, principal.user_id)
        check_password(new, row["email"])
        throttle = self.throttling.password_change(row["email"])
        await self._begin(BeginAttempt((throttle,)))
        if not await self.hasher.verify(row["password_hash"], current):
            raise WrongPasswordError
        new_hash = await self.hasher.hash(new)
        command = ChangePassword(principal.user_id, row["password_hash"], new_hash, principal.session_id, throttle.key)
        await self.writer.execute(handlers.change_password, command)

    async def erase(self, user_id: UUID) -> None:
        """Erase the account's personal data.

        Raises:
            NotFoundError: it is erased already.
        """
        row = await queries.user(self.reader, user_id)
        account = self.throttling.account(row["email"])
        await self.writer.execute(handlers.erase_user, EraseUser(user_id, account))
        self.on_erased()

    async def disable(self, user_id: UUID, reason: str) -> None:
        """Close an account.

        Raises:
            NotFoundError: there is no such user.
        """
        await self.writer.execute(handlers.disable_user, DisableUser(user_id, reason))

    async def ensure_operator(self, email: str, password: str) -> UUID:
        """The operator's id; the account is made if there is none.

        Raises:
            DomainError: invalid-email, weak-password, not-an-operator.
        """
        email = normalize_email(email)
        check_password(password, email)
        command = EnsureOperator(email, await self.hasher.hash(password))
        return await self.writer.execute(handlers.ensure_operator, command)

    def jwks(self) -> list[dict[str, str | int]]:
        return [jwk(key) for key in self.keyring.published(self.clock.now())]

    async def _begin(self, attempt: BeginAttempt) -> None:
        """Count the attempt, unless it could not be made anyway."""
        if self.hasher.busy:
            raise BusyError
        await self.writer.execute(handlers.begin_attempt, attempt)

    async def _renewed(self, password_hash: str, password: str) -> str | None:
        return await self.hasher.hash(password) if self.hasher.is_outdated(password_hash) else None

    def _opened(self, granted: Granted, refresh_token: str) -> Opened:
        access = self.issuer.issue(granted.user_id, granted.session_id, granted.roles, self.clock.now())
        return Opened(access, refresh_token)
