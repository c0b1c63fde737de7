"""Accounts, sessions and keys by themselves: every state and trigger."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from auth_svc.domain.session import GRACE, IDLE, LIFE, RevocationReason, Rotation, Session
from auth_svc.domain.signing_key import SigningKey
from auth_svc.domain.user import User, UserStatus, normalize_email
from chassis.seedwork import DomainError, IllegalTransitionError
from contracts.auth import SessionRevoked, SigningKeyPublished, UserDisabled, UserErased, UserRegistered
from contracts.claims import MAX_TOKEN_SECONDS
from contracts.envelope import Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_session() -> Session:
    return Session.start(UUID(int=1), UUID(int=2), "first", NOW)


def a_user(status: UserStatus = UserStatus.ACTIVE) -> User:
    user = User.register(
        UUID(int=2), email="anne@example.com", name="Anne", password_hash="hash", roles=("customer",), now=NOW
    )
    assert events(user) == [UserRegistered(user_id=UUID(int=2), roles=["customer"])]
    user.status = status
    return user


def events(aggregate: User | Session | SigningKey) -> list[Event]:
    return [event for event, _ in aggregate.pull_events()]


def test_each_exchange_makes_the_next_token_the_current_one() -> None:
    session = a_session()
    assert session.rotate("first", "second", NOW) is Rotation.ROTATED
    assert session.rotate("second", "third", NOW) is Rotation.ROTATED
    assert events(session) == []


@pytest.mark.parametrize(
    ("presented", "after", "expected"),
    [
        ("second", 0 * SECOND, Rotation.ROTATED),
        ("second", IDLE - SECOND, Rotation.ROTATED),
        ("second", IDLE, Rotation.OVER),
        ("first", 0 * SECOND, Rotation.ROTATED),
        ("first", GRACE, Rotation.ROTATED),
        ("first", GRACE + SECOND, Rotation.REUSED),
        ("first", IDLE, Rotation.OVER),
        ("older", 0 * SECOND, Rotation.REUSED),
        ("older", GRACE + SECOND, Rotation.REUSED),
    ],
)
def test_what_becomes_of_a_presented_token(presented: str, after: timedelta, expected: Rotation) -> None:
    session = a_session()
    session.rotate("first", "second", NOW)
    assert session.rotate(presented, "new", NOW + after) is expected
    assert (session.revoked_at is not None) == (expected is Rotation.REUSED)
    assert len(events(session)) == (expected is Rotation.REUSED)


def test_reuse_revokes_for_as_long_as_a_token_could_live() -> None:
    session = a_session()
    session.rotate("first", "second", NOW)
    session.rotate("second", "third", NOW)
    assert session.rotate("first", "fourth", NOW) is Rotation.REUSED
    (event,) = events(session)
    assert isinstance(event, SessionRevoked)
    assert event.reason == "refresh_token_reused"
    assert event.until >= NOW + timedelta(seconds=MAX_TOKEN_SECONDS)
    assert session.rotate("third", "fifth", NOW) is Rotation.OVER


def test_a_session_is_revoked_once() -> None:
    session = a_session()
    assert session.revoke(RevocationReason.LOGOUT, NOW)
    assert not session.revoke(RevocationReason.ERASED, NOW + SECOND)
    assert len(events(session)) == 1


def test_a_session_has_an_absolute_end() -> None:
    session = a_session()
    session.rotated_at = NOW + LIFE - SECOND
    assert not session.is_over(NOW + LIFE - SECOND)
    assert session.is_over(NOW + LIFE)


@pytest.mark.parametrize("status", UserStatus)
def test_disabling(status: UserStatus) -> None:
    user = a_user(status)
    if status is UserStatus.ACTIVE:
        user.disable("fraud")
        assert user.status is UserStatus.DISABLED
        assert events(user) == [UserDisabled(user_id=user.id, reason="fraud")]
    else:
        with pytest.raises(IllegalTransitionError):
            user.disable("fraud")
        assert events(user) == []


@pytest.mark.parametrize("status", UserStatus)
def test_erasing(status: UserStatus) -> None:
    user = a_user(status)
    if status is UserStatus.ERASED:
        with pytest.raises(IllegalTransitionError):
            user.erase()
        return
    user.erase()
    assert (user.email, user.name, user.password_hash) == (None, "", None)
    assert events(user) == [UserErased(user_id=user.id)]


def test_a_key_signs_in_its_time_and_is_needed_a_little_longer() -> None:
    key = SigningKey.make("k", public_key=b"p" * 32, sealed=b"s", not_before=NOW)
    assert [key.may_sign(at) for at in (NOW - SECOND, NOW, key.expires_at - SECOND, key.expires_at)] == [
        False,
        True,
        True,
        False,
    ]
    assert key.is_needed(key.expires_at + timedelta(seconds=MAX_TOKEN_SECONDS))
    assert not key.is_needed(key.expires_at + timedelta(hours=1))


def test_a_withdrawn_key_tells_everyone_its_new_end() -> None:
    key = SigningKey.make("k", public_key=b"p" * 32, sealed=b"s", not_before=NOW)
    assert key.withdraw(NOW + SECOND)
    assert not key.withdraw(NOW + 2 * SECOND)
    first, second = events(key)
    assert isinstance(first, SigningKeyPublished)
    assert isinstance(second, SigningKeyPublished)
    assert (second.kid, second.expires_at) == (first.kid, NOW + SECOND)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Anne@Example.COM", "anne@example.com"),
        ("anne+books@mail.example.co.uk", "anne+books@mail.example.co.uk"),
        ("ANNE\u0301@example.com", "ann\u00e9@example.com"),
        ("stra\u00dfe@example.com", "strasse@example.com"),
    ],
)
def test_an_address_has_one_spelling(given: str, kept: str) -> None:
    assert normalize_email(given) == kept


def test_folding_an_address_twice_changes_nothing() -> None:
    for text in ("\u0130x@example.com", "\u1fb3x@example.com", "\ufb01x@example.com"):
        once = normalize_email(text)
        assert normalize_email(once) == once


@pytest.mark.parametrize("text", ["", "@", "a@", "@b.c", "a@b", "a@b..c", "a b@c.de", "a@b.c\n", "a@-b.de", "a,b@c.de"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(DomainError):
        normalize_email(text)
