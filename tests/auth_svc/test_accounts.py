"""Accounts: made once, closed by an operator, erased for good."""

import asyncio
from typing import Any

import httpx
import pytest

from auth_svc.store import metadata, sessions, users
from contracts.auth import SessionRevoked, UserDisabled, UserErased, UserRegistered
from tests.auth_svc.accounts import JSON, PASSWORD, Accounts, bearer

ANNE = {"email": "anne@example.com", "password": PASSWORD, "name": "Anne Elliot"}


async def test_an_account_is_made_and_can_log_in(accounts: Accounts) -> None:
    answer = await accounts.http.post("/auth/register", json=ANNE)
    assert answer.status_code == 201
    tokens = await accounts.log_in()
    me = (await accounts.me(tokens["access_token"])).json()
    assert me["user_id"] == answer.json()["user_id"]
    assert (me["email"], me["name"], me["roles"]) == ("anne@example.com", "Anne Elliot", ["customer"])
    await accounts.harness.settled()
    registered = [event for event in accounts.harness.outgoing() if isinstance(event, UserRegistered)]
    assert (str(registered[-1].user_id), registered[-1].roles) == (answer.json()["user_id"], ["customer"])


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


async def test_of_many_registrations_at_once_one_wins(accounts: Accounts) -> None:
    answers = await asyncio.gather(*(accounts.http.post("/auth/register", json=ANNE) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


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


async def test_an_operator_closes_an_account_and_its_sessions(accounts: Accounts) -> None:
    user_id = await accounts.register()
    tokens = await accounts.log_in()
    operator = await accounts.operator()
    url = f"/auth/users/{user_id}/disable"
    closed = await accounts.http.post(url, json={"reason": "fraud"}, headers=operator)
    again = await accounts.http.post(url, json={"reason": "fraud"}, headers=operator)
    assert (closed.status_code, closed.json()["status"]) == (200, "disabled")
    assert again.status_code == 200
    assert (await accounts.me(tokens["access_token"])).status_code == 401
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401
    right = await accounts.http.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD})
    wrong = await accounts.http.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD + "x"})
    assert (right.status_code, right.json()["type"]) == (403, "/problems/account-disabled")
    assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/invalid-credentials")
    await accounts.harness.settled()
    events = accounts.harness.outgoing()
    assert [e.reason for e in events if isinstance(e, UserDisabled)] == ["fraud"]
    assert [e.reason for e in events if isinstance(e, SessionRevoked)] == ["user_disabled"]


async def test_only_operators_look_at_other_accounts(accounts: Accounts) -> None:
    user_id = await accounts.register()
    customer = bearer((await accounts.log_in())["access_token"])
    operator = await accounts.operator()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/auth/users/{user_id}/disable", {"json": {"reason": "x"}}),
        ("GET", "/auth/users?email=anne@example.com", {}),
        ("GET", "/auth/audit", {}),
    ]
    for method, path, body in requests:
        assert (await accounts.http.request(method, path, **body)).status_code == 401
        assert (await accounts.http.request(method, path, headers=customer, **body)).status_code == 403
    found = await accounts.http.get("/auth/users?email=Anne@example.com", headers=operator)
    assert [item["user_id"] for item in found.json()["items"]] == [user_id]
    unknown = await accounts.http.post(
        "/auth/users/0198f0c2-0000-7000-8000-000000000001/disable", json={"reason": "x"}, headers=operator
    )
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/not-found")
    figures = (await accounts.http.get("/auth/audit", headers=operator)).json()
    assert figures["users_by_status"] == {"active": 2}
    assert figures["open_sessions"] == 2


async def test_erasing_ends_the_sessions_and_frees_the_address(accounts: Accounts) -> None:
    user_id = await accounts.register()
    first, second = await accounts.log_in(), await accounts.log_in()
    erased = await accounts.http.delete("/auth/me", headers=bearer(first["access_token"]))
    assert erased.status_code == 204
    for tokens in (first, second):
        assert (await accounts.me(tokens["access_token"])).status_code == 401
        assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401
    gone = await accounts.http.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD})
    assert (gone.status_code, gone.json()["type"]) == (401, "/problems/invalid-credentials")
    await accounts.harness.settled()
    events = accounts.harness.outgoing()
    assert [str(e.user_id) for e in events if isinstance(e, UserErased)] == [user_id]
    assert [e.reason for e in events if isinstance(e, SessionRevoked)] == ["user_erased"] * 2
    assert await accounts.register() != user_id


async def test_erased_data_is_in_no_row(accounts: Accounts) -> None:
    await accounts.http.post("/auth/register", json={**ANNE, "name": "Canary Elliot"})
    tokens = await accounts.log_in()
    await accounts.http.post("/auth/login", json={"email": "anne@example.com", "password": "wrong canary"})
    await accounts.http.delete("/auth/me", headers=bearer(tokens["access_token"]))
    await accounts.harness.settled()
    reader = accounts.harness.runtime.reader
    text = "".join([str(await reader.all(table.select())) for table in metadata.sorted_tables]).lower()
    assert "elliot" not in text
    assert "anne@" not in text
    assert len(await reader.all(sessions.select())) == 1


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"NaN", b'{"email": "\\ud800"}', b"[" * 1000, b"\xff"])
async def test_no_body_is_answered_5xx(accounts: Accounts, path: str, body: bytes) -> None:
    answer: httpx.Response = await accounts.http.post(path, content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
