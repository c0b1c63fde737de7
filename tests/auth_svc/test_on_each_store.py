"""What leans on the store most, on every kind of store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from auth_svc.app import build
from auth_svc.store import UserRepository, metadata, sessions
from contracts.auth import SessionRevoked, UserDisabled, UserErased, UserRegistered
from tests.auth_svc.accounts import (
    ANNE,
    PASSWORD,
    WRONG,
    Accounts,
    bearer,
    kid_of,
    published,
    reasons,
    rotate,
    settings,
)
from tests.support.clocks import ManualClock
from tests.support.harness import running


@pytest.fixture
async def accounts(store_url: str, clock: ManualClock) -> AsyncIterator[Accounts]:
    async with running("auth_svc", build, settings(store_url), clock=clock) as harness:
        yield Accounts(harness, clock)


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


async def test_of_many_registrations_at_once_one_wins(accounts: Accounts) -> None:
    answers = await asyncio.gather(*(accounts.http.post("/auth/register", json=ANNE) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_the_store_has_the_last_word_on_an_address(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another process registers it between our look and our write."""

    async def not_seen(self: UserRepository, email: str) -> None:
        return None

    await accounts.register()
    monkeypatch.setattr(UserRepository, "by_email", not_seen)
    answer = await accounts.http.post("/auth/register", json=ANNE)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/email-taken")


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


async def test_reuse_ends_the_session_for_thief_and_victim(accounts: Accounts, tokens: dict[str, str]) -> None:
    stolen = tokens["refresh_token"]
    victim = (await accounts.refresh(stolen)).json()
    accounts.wait(seconds=11)
    thief = await accounts.refresh(stolen)
    assert (thief.status_code, thief.json()["type"]) == (401, "/problems/invalid-grant")
    assert (await accounts.refresh(victim["refresh_token"])).status_code == 401
    for access in (tokens["access_token"], victim["access_token"]):
        assert (await accounts.me(access)).status_code == 401
    await accounts.harness.settled()
    assert reasons(accounts) == ["refresh_token_reused"]


async def test_of_many_refreshes_at_once_one_branch_lives(accounts: Accounts, tokens: dict[str, str]) -> None:
    answers = await asyncio.gather(*(accounts.refresh(tokens["refresh_token"]) for _ in range(20)))
    children = [answer.json()["refresh_token"] for answer in answers if answer.status_code == 200]
    assert len(children) == 20
    statuses = [(await accounts.refresh(child)).status_code for child in reversed(children)]
    assert statuses.count(200) <= 1


async def test_ended_sessions_are_pruned_and_live_ones_kept(accounts: Accounts, tokens: dict[str, str]) -> None:
    other = await accounts.log_in()
    await accounts.http.post("/auth/logout", headers=bearer(tokens["access_token"]))
    (prune,) = (s for s in accounts.harness.runtime.sweeper.sweeps if s.name == "prune_sessions")
    accounts.clock.advance(timedelta(days=2))
    assert await prune.run() > 0
    assert (await accounts.refresh(other["refresh_token"])).status_code == 200


async def test_parallel_guesses_count_too(accounts: Accounts) -> None:
    await accounts.register()
    answers = await asyncio.gather(*(accounts.http.post("/auth/login", json=WRONG) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7


async def test_a_leaked_key_is_withdrawn_at_once(accounts: Accounts) -> None:
    await accounts.register()
    tokens = await accounts.log_in()
    old = kid_of(tokens["access_token"])
    accounts.wait(minutes=2)
    new = await rotate(accounts, withdraw=True)
    accounts.wait(minutes=2)
    fresh = (await accounts.refresh(tokens["refresh_token"])).json()["access_token"]
    assert kid_of(fresh) == new
    await accounts.harness.settled()
    ends = [event.expires_at for event in published(accounts.harness) if event.kid == old]
    assert ends[-1] < accounts.clock.now() < ends[0]
