"""Guessing: slowed down per account and address, remembered by the store, and no way to lock somebody else out."""

import httpx
import pytest

from auth_svc.app import build
from auth_svc.store import throttles
from tests.auth_svc.accounts import PASSWORD, WRONG, Accounts, settings
from tests.support.clocks import ManualClock
from tests.support.harness import running

RIGHT = {"email": "anne@example.com", "password": PASSWORD}


async def statuses(client: httpx.AsyncClient, body: dict[str, str], times: int) -> list[int]:
    return [(await client.post("/auth/login", json=body)).status_code for _ in range(times)]


async def test_after_five_wrong_passwords_each_one_waits_longer(accounts: Accounts) -> None:
    await accounts.register()
    assert await statuses(accounts.http, WRONG, 6) == [401] * 5 + [429]
    waits = []
    for _ in range(5):
        refused = await accounts.http.post("/auth/login", json=RIGHT)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-attempts")
        waits.append(int(refused.headers["retry-after"]))
        accounts.wait(seconds=waits[-1])
        assert (await accounts.http.post("/auth/login", json=WRONG)).status_code == 401
    assert waits == [2, 4, 8, 16, 32]


async def test_the_right_password_clears_the_count(accounts: Accounts) -> None:
    await accounts.register()
    for _ in range(3):
        assert await statuses(accounts.http, WRONG, 4) == [401] * 4
        assert await statuses(accounts.http, RIGHT, 1) == [200]


async def test_somebody_elsewhere_is_not_locked_out_by_a_guesser(accounts: Accounts) -> None:
    await accounts.register()
    async with accounts.browser("203.0.113.7") as guesser, accounts.browser("198.51.100.9") as owner:
        assert (await statuses(guesser, WRONG, 7))[-1] == 429
        assert await statuses(owner, RIGHT, 1) == [200]


async def test_unknown_accounts_are_throttled_the_same(accounts: Accounts) -> None:
    """Else the missing 429 would tell which accounts exist."""
    unknown = {"email": "nobody@example.com", "password": "a wrong password"}
    assert await statuses(accounts.http, unknown, 6) == [401] * 5 + [429]


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(accounts: Accounts) -> None:
    await accounts.register()
    unknown = await accounts.http.post("/auth/login", json={**WRONG, "email": "nobody@example.com"})
    invalid = await accounts.http.post("/auth/login", json={**WRONG, "email": "nobody"})
    wrong = await accounts.http.post("/auth/login", json=WRONG)
    own = {"x-request-id", "instance"}
    for answer in (unknown, invalid):
        assert answer.status_code == wrong.status_code == 401
        assert {k: v for k, v in answer.json().items() if k not in own} == {
            k: v for k, v in wrong.json().items() if k not in own
        }
        assert {k: v for k, v in answer.headers.items() if k not in own} == {
            k: v for k, v in wrong.headers.items() if k not in own
        }


async def test_many_addresses_on_one_account_and_many_accounts_from_one_address(sqlite_url: str) -> None:
    limits = {"account_attempts_per_hour": 8, "address_attempts": 12}
    async with running("auth_svc", build, settings(sqlite_url, **limits)) as harness:
        accounts = Accounts(harness, ManualClock())
        await accounts.register()
        by_network = []
        for network in range(10):
            async with accounts.browser(f"198.51.{network}.1") as client:
                by_network += await statuses(client, WRONG, 1)
        assert by_network == [401] * 8 + [429] * 2
        async with accounts.browser("203.0.113.7") as client:
            by_account = [(await statuses(client, {**WRONG, "email": f"user{n}@example.com"}, 1))[0] for n in range(14)]
        assert by_account == [401] * 12 + [429] * 2


async def test_neighbours_in_a_network_share_a_count(accounts: Accounts) -> None:
    await accounts.register()
    seen = []
    for host in range(6):
        async with accounts.browser(f"2001:db8::{host:x}") as client:
            seen += await statuses(client, WRONG, 1)
    assert seen == [401] * 5 + [429]


async def test_counts_survive_a_restart(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        accounts = Accounts(harness, ManualClock())
        await accounts.register()
        assert await statuses(accounts.http, WRONG, 5) == [401] * 5
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        assert (await harness.http.post("/auth/login", json=RIGHT)).status_code == 429


async def test_registrations_from_one_address_are_limited(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url, registrations_per_hour=2)) as harness:
        codes = []
        for n in range(3):
            body = {"email": f"user{n}@example.com", "password": PASSWORD, "name": "X"}
            codes.append((await harness.http.post("/auth/register", json=body)).status_code)
        assert codes == [201, 201, 429]


async def test_throttles_hold_no_address(accounts: Accounts) -> None:
    await accounts.register()
    async with accounts.browser("203.0.113.7") as client:
        await statuses(client, WRONG, 1)
    text = str(await accounts.harness.runtime.reader.all(throttles.select()))
    assert "203.0" not in text
    assert "anne" not in text


async def test_when_too_many_wait_for_a_hash_the_rest_is_told_to_come_back(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.register()
    monkeypatch.setattr("auth_svc.passwords.MAX_WAITING", 0)
    answer = await accounts.http.post("/auth/login", json=RIGHT)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    assert answer.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert await statuses(accounts.http, WRONG, 5) == [401] * 5, "what was not tried was not counted"
