"""Accounts: made once, closed by an operator, erased for good."""

from typing import Any

import httpx
import pytest

from auth_svc.store import users
from tests.auth_svc.accounts import ANNE, JSON, Accounts, bearer


async def test_no_event_holds_anything_personal(accounts: Accounts) -> None:
    await accounts.http.post("/auth/register", json=ANNE)
    tokens = await accounts.log_in()
    await accounts.http.delete("/auth/me", headers=bearer(tokens["access_token"]))
    await accounts.harness.settled()
    everything = b"".join(message.body for message in accounts.harness.broker.journal).lower()
    assert len(everything) > 0
    for personal in (b"anne", b"elliot", b"example.com", b"whales"):
        assert personal not in everything


@pytest.mark.parametrize("email", ["anne@example.com", "Anne@Example.COM", "ANNE@example.com"])
async def test_an_address_has_one_account_in_any_spelling(accounts: Accounts, email: str) -> None:
    await accounts.register()
    again = await accounts.http.post("/auth/register", json={**ANNE, "email": email})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/email-taken")
    assert (await accounts.log_in(email))["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"password": "whales"}, 422, "validation"),
        ({"password": "x" * 129}, 422, "validation"),
        ({"password": "y" * 10_000}, 422, "validation"),
        ({"password": "Password1234!"}, 422, "weak-password"),
        ({"password": "anne.elliot12", "email": "anne.elliot@example.com"}, 422, "weak-password"),
        ({"email": "anne"}, 422, "invalid-email"),
        ({"email": "anne@"}, 422, "invalid-email"),
        ({"email": "anne@localhost"}, 422, "invalid-email"),
        ({"email": "a b@example.com"}, 422, "invalid-email"),
        ({"email": "a@b@example.com"}, 422, "invalid-email"),
        ({"email": "anne@example.com\n"}, 422, "invalid-email"),
        ({"email": "x" * 260 + "@example.com"}, 422, "validation"),
        ({"email": "anne\u0000@example.com"}, 422, "validation"),
        ({"name": ""}, 422, "validation"),
        ({"name": "a\u0007b"}, 422, "validation"),
        ({"roles": ["operator"]}, 422, "validation"),
        ({"status": "active"}, 422, "validation"),
        ({"email": None}, 422, "validation"),
    ],
)
async def test_bad_registrations_change_nothing(
    accounts: Accounts, changes: dict[str, Any], status: int, slug: str
) -> None:
    body = {**ANNE, **changes}
    before = await accounts.harness.runtime.reader.all(users.select())
    answer = await accounts.http.post("/auth/register", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert str(body["password"]) not in answer.text
    assert await accounts.harness.runtime.reader.all(users.select()) == before


@pytest.mark.parametrize(
    "password",
    [
        "  twelve blanks around  ",
        "пароль из трёх слов",
        "x\x00y with a NUL inside",
        "🐋" * 6 + "abcdef",
        "é" * 5 + "longer words",
    ],
)
async def test_a_password_may_have_any_characters_and_all_of_them_count(accounts: Accounts, password: str) -> None:
    await accounts.register(password=password)
    await accounts.log_in(password=password)
    for other in (password.strip() + "!", password[:-1], password.upper()):
        if other != password:
            wrong = {"email": "anne@example.com", "password": other}
            assert (await accounts.http.post("/auth/login", json=wrong)).status_code == 401


async def test_byte_73_of_a_password_counts(accounts: Accounts) -> None:
    long = "the whale, the sea and the captain " * 3 + "at the end"
    await accounts.register(password=long)
    wrong = {"email": "anne@example.com", "password": long[:-1] + "x"}
    assert (await accounts.http.post("/auth/login", json=wrong)).status_code == 401


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"NaN", b'{"email": "\\ud800"}', b"[" * 1000, b"\xff"])
async def test_no_body_is_answered_5xx(accounts: Accounts, path: str, body: bytes) -> None:
    answer: httpx.Response = await accounts.http.post(path, content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
