"""Use cases: load, call one method, done."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

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
from auth_svc.domain.errors import AccountClosedError, EmailTakenError, InvalidCredentialsError, WrongPasswordError
from auth_svc.domain.session import RevocationReason, Rotation, Session
from auth_svc.domain.signing_key import ANNOUNCED, RENEWED
from auth_svc.domain.throttle import Throttle
from auth_svc.domain.user import User, UserStatus
from auth_svc.store import AuthUnitOfWork, throttles
from auth_svc.tokens import Vault
from chassis.seedwork import DomainError, ErrorKind, NotFoundError
from contracts.claims import CUSTOMER, OPERATOR


async def begin_attempt(command: BeginAttempt, uow: AuthUnitOfWork) -> None:
    """Count first, try then: parallel guesses cannot slip through, and a crash forgets none."""
    for counted in command.throttles:
        throttle = await uow.throttles.find(counted.key)
        if throttle is None:
            throttle = Throttle.fresh(counted.key, counted.account, uow.now)
            uow.throttles.add(throttle)
        throttle.attempt(counted.limit, uow.now)


async def register(command: Register, uow: AuthUnitOfWork) -> UUID:
    return (await _add_user(command.email, command.name, command.password_hash, (CUSTOMER,), uow)).id


async def open_session(command: OpenSession, uow: AuthUnitOfWork) -> Granted:
    user = await uow.users.get(command.user_id)
    if user.status is UserStatus.DISABLED:
        raise AccountClosedError
    if user.password_hash != command.verified_hash:
        raise InvalidCredentialsError  # it was changed or erased while we compared
    if command.new_hash is not None:
        user.set_password(command.new_hash)
    session = Session.start(uow.new_id(), user.id, command.refresh_hash, uow.now)
    uow.sessions.add(session)
    uow.issue_refresh(command.refresh_hash, session)
    if (pair := await uow.throttles.find(command.pair_throttle)) is not None:
        pair.forget()
    for throttle in (await uow.throttles.get_many(command.other_throttles)).values():
        throttle.take_back()
    return Granted(user.id, session.id, user.roles)


async def refresh(command: Refresh, uow: AuthUnitOfWork) -> Granted | None:
    """The session goes on, or None. Refused by value: raising would undo the revocation that reuse brings."""
    session = await uow.session_of(command.presented_hash)
    if session is None:
        return None
    match session.rotate(command.presented_hash, command.successor_hash, uow.now):
        case Rotation.REUSED:
            uow.revoke(session, RevocationReason.REUSE)
            return None
        case Rotation.OVER:
            return None
        case Rotation.ROTATED:
            uow.issue_refresh(command.successor_hash, session)
            user = await uow.users.get(session.user_id)
            return Granted(user.id, session.id, user.roles)


async def close_session(command: CloseSession, uow: AuthUnitOfWork) -> None:
    session = None
    if command.session_id is not None:
        session = await uow.sessions.find(command.session_id)
    elif command.refresh_hash is not None:
        session = await uow.session_of(command.refresh_hash)
    if session is not None:
        uow.revoke(session, RevocationReason.LOGOUT)


async def change_password(command: ChangePassword, uow: AuthUnitOfWork) -> None:
    user = await uow.users.get(command.user_id)
    if user.password_hash != command.verified_hash:
        raise WrongPasswordError  # it was changed while we compared
    user.set_password(command.new_hash)
    if (throttle := await uow.throttles.find(command.throttle)) is not None:
        throttle.forget()
    await _revoke_sessions(user.id, RevocationReason.PASSWORD_CHANGED, uow, keep=command.keep_session)


async def erase_user(command: EraseUser, uow: AuthUnitOfWork) -> None:
    """Nothing personal stays; sessions and throttles hold none, but those of the address go as well."""
    user = await _existing(command.user_id, uow)
    user.erase()
    await uow.execute(throttles.delete().where(throttles.c.account == command.account))
    await _revoke_sessions(user.id, RevocationReason.ERASED, uow)


async def disable_user(command: DisableUser, uow: AuthUnitOfWork) -> None:
    """Doing it again changes nothing."""
    user = await _existing(command.user_id, uow)
    if user.status is UserStatus.ACTIVE:
        user.disable(command.reason)
        await _revoke_sessions(user.id, RevocationReason.DISABLED, uow)


async def ensure_operator(command: EnsureOperator, uow: AuthUnitOfWork) -> UUID:
    """The operator with this address; doing it again changes nothing, the password included.

    Raises:
        DomainError: `not-an-operator`, somebody registered with the address as a customer.
    """
    user = await uow.users.by_email(command.email)
    if user is None:
        user = await _add_user(command.email, "Operator", command.password_hash, (CUSTOMER, OPERATOR), uow)
    elif OPERATOR not in user.roles:
        raise DomainError("not-an-operator", ErrorKind.CONFLICT, "A customer has this address.")
    return user.id


def ensure_signing_key(vault: Vault) -> Callable[[None, AuthUnitOfWork], Awaitable[bool]]:
    """Make a key if there is none, or the next one in time; whether one was made."""

    async def handler(_command: None, uow: AuthUnitOfWork) -> bool:
        keys = await uow.signing_keys.unexpired(uow.now)
        if any(key.expires_at > uow.now + RENEWED for key in keys):
            return False
        usable = any(key.may_sign(uow.now) for key in keys)
        uow.signing_keys.add(vault.make_key(uow.now + ANNOUNCED if usable else uow.now))
        return True

    return handler


def rotate_signing_key(vault: Vault, *, withdraw: bool) -> Callable[[None, AuthUnitOfWork], Awaitable[str]]:
    """Make the next key; its kid. With `withdraw` at once and the old ones end now, else after ten minutes' notice."""

    async def handler(_command: None, uow: AuthUnitOfWork) -> str:
        if withdraw:
            for key in await uow.signing_keys.unexpired(uow.now):
                key.withdraw(uow.now)
        made = vault.make_key(uow.now if withdraw else uow.now + ANNOUNCED)
        uow.signing_keys.add(made)
        return made.kid

    return handler


async def announce_signing_keys(_command: None, uow: AuthUnitOfWork) -> int:
    """Publish every live key once more: a service whose store is new learns them from this."""
    keys = await uow.signing_keys.unexpired(uow.now)
    for key in keys:
        key.publish()
    return len(keys)


async def _add_user(email: str, name: str, password_hash: str, roles: tuple[str, ...], uow: AuthUnitOfWork) -> User:
    if await uow.users.by_email(email) is not None:
        raise EmailTakenError
    user = User.register(uow.new_id(), email=email, name=name, password_hash=password_hash, roles=roles, now=uow.now)
    uow.users.add(user)
    try:
        await uow.flush()
    except IntegrityError:  # another process was faster
        raise EmailTakenError from None
    return user


async def _existing(user_id: UUID, uow: AuthUnitOfWork) -> User:
    user = await uow.users.get(user_id)
    if user.status is UserStatus.ERASED:
        raise NotFoundError("user")
    return user


async def _revoke_sessions(
    user_id: UUID, reason: RevocationReason, uow: AuthUnitOfWork, keep: UUID | None = None
) -> None:
    for session in await uow.sessions.of_user(user_id):
        if session.id != keep:
            uow.revoke(session, reason)


async def prune(uow: AuthUnitOfWork, statements: tuple[sa.Executable, ...]) -> int:
    """Run these deletes; the number of rows they removed."""
    return sum([await uow.execute(statement) for statement in statements])
