"""Which passwords are refused, and that hashing keeps out of the way."""

import asyncio
import platform
import sys
from datetime import UTC, datetime, timedelta

import pytest

from auth_svc.domain.errors import BusyError, TooManyAttemptsError, WeakPasswordError
from auth_svc.domain.throttle import LONGEST_WAIT, Limit, Throttle
from auth_svc.passwords import MAX_WAITING, Hasher, check_password, common_words
from tests.auth_svc import hash_and_rest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "whales",
        "a book about whales" * 7,
        "password1234",
        "P@ssw0rd1234!",
        "Passw0rd!!!!!",
        "1234Password!",
        "qwertyuiop12",
        "qwertyqwerty!",
        "1qaz2wsx3edc4rfv",
        "123456789012",
        "987654321098",
        "abcdefghijklmn",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "letmeinletmein",
        "LetMeIn2024!!",
        "Summer2024!!",
        "iloveyou123456",
        "liverpool-arsenal",
        "administrator1",
        "orderflow-operator",
        "71946205387164",
        "!!!???###$$$%%",
        "anne.elliot!!1",
        "correct horse battery staple",
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(WeakPasswordError):
        check_password(password, "anne.elliot@example.com")


@pytest.mark.parametrize(
    "password",
    [
        "a book about whales",
        "shopkeeper behind the counter",
        "Tr0ub4dor&3xyz",
        "seven horses behind a barn",
        "hÄtte, hätte, Fahrradkette",
        "пароль из трёх слов",
        "密码密码密码一二三四五六",
        "g7#kQ!v92_xLmp",
        "the elliots of kellynch hall",
    ],
)
def test_other_passwords_pass(password: str) -> None:
    check_password(password, "anne.elliot@example.com")


def test_the_rules_cover_what_a_list_of_thousands_would() -> None:
    """Every common word, in the decorations people use, is refused: some 6,000 passwords."""
    dressed = (
        f"{form}{tail}"
        for word in common_words()
        for form in (word, word.capitalize(), word.upper(), word.replace("o", "0").replace("a", "@"))
        for tail in ("123456789", "2024!!!!!!")
    )
    passed = 0
    for password in dressed:
        if len(password) >= 12:
            with pytest.raises(WeakPasswordError):
                check_password(password, "anne@example.com")
            passed += 1
    assert passed > 3_000


async def test_a_hash_verifies_its_password_only() -> None:
    hasher = Hasher(memory_kib=8, passes=1)
    password_hash = await hasher.hash("a book about whales")
    assert password_hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await hasher.hash("a book about whales") != password_hash
    assert await hasher.verify(password_hash, "a book about whales")
    assert not await hasher.verify(password_hash, "a book about whale")
    assert not await hasher.verify(None, "a password nobody has")
    assert not await hasher.verify("not a hash", "a book about whales")


async def test_old_parameters_are_noticed() -> None:
    old, new = Hasher(memory_kib=8, passes=1), Hasher(memory_kib=16, passes=2)
    password_hash = await old.hash("a book about whales")
    assert new.is_outdated(password_hash)
    assert not old.is_outdated(password_hash)
    assert await new.verify(password_hash, "a book about whales")


def test_the_default_cost_is_what_owasp_asks_for() -> None:
    assert Hasher()._nobody.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_the_queue_for_hashing_is_bounded() -> None:
    hasher = Hasher(memory_kib=8, passes=1)
    results = await asyncio.gather(*(hasher.hash("x") for _ in range(MAX_WAITING + 5)), return_exceptions=True)
    assert sum(isinstance(result, BusyError) for result in results) == 5
    assert not hasher.busy


def test_backoff_doubles_up_to_a_quarter_of_an_hour() -> None:
    limit, throttle, now = Limit(3, timedelta(minutes=15), backoff=True), Throttle.fresh("k", "a", NOW), NOW
    for _ in range(3):
        throttle.attempt(limit, now)
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyAttemptsError) as refused:
            throttle.attempt(limit, now)
        waits.append(refused.value.retry_after or 0)
        now += timedelta(seconds=waits[-1])
        throttle.attempt(limit, now)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    now += 2 * LONGEST_WAIT
    throttle.attempt(limit, now)
    assert throttle.count == 1, "a window of silence after that forgets"


def test_a_window_without_backoff_opens_at_its_end() -> None:
    limit, throttle = Limit(2, timedelta(hours=1)), Throttle.fresh("k", "a", NOW)
    throttle.attempt(limit, NOW)
    throttle.attempt(limit, NOW + timedelta(minutes=30))
    with pytest.raises(TooManyAttemptsError) as refused:
        throttle.attempt(limit, NOW + timedelta(minutes=45))
    assert refused.value.retry_after == 15 * 60
    throttle.attempt(limit, NOW + timedelta(hours=1))
    assert throttle.count == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators decide for themselves")
async def test_what_hashing_took_is_given_back() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", hash_and_rest.__name__), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
