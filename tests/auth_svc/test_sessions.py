"""Sessions: refresh tokens are good for one use, their reuse ends the session, and ends are felt at once."""

import pytest

from auth_svc.app import build
from tests.auth_svc.accounts import PASSWORD, SAME_SITE, Accounts, bearer, reasons, settings
from tests.support.harness import running


async def test_a_refresh_goes_on_with_new_tokens(accounts: Accounts, tokens: dict[str, str]) -> None:
    accounts.wait(minutes=11)
    assert (await accounts.me(tokens["access_token"])).status_code == 401
    answer = await accounts.refresh(tokens["refresh_token"])
    fresh = answer.json()
    assert answer.status_code == 200
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert fresh["expires_in"] == 600
    assert (await accounts.me(fresh["access_token"])).status_code == 200


async def test_an_answer_that_got_lost_can_be_asked_for_again(accounts: Accounts, tokens: dict[str, str]) -> None:
    lost = (await accounts.refresh(tokens["refresh_token"])).json()
    accounts.wait(seconds=9)
    again = await accounts.refresh(tokens["refresh_token"])
    assert again.status_code == 200
    assert (await accounts.refresh(again.json()["refresh_token"])).status_code == 200
    reuse = await accounts.refresh(lost["refresh_token"])
    assert reuse.status_code == 401, "the successor that was replaced is void"


async def test_the_grace_ends_ten_seconds_after_the_first_exchange(accounts: Accounts, tokens: dict[str, str]) -> None:
    await accounts.refresh(tokens["refresh_token"])
    accounts.wait(seconds=6)
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 200
    accounts.wait(seconds=6)
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401


async def test_there_is_no_grace_once_the_successor_was_used(accounts: Accounts, tokens: dict[str, str]) -> None:
    child = (await accounts.refresh(tokens["refresh_token"])).json()
    grandchild = (await accounts.refresh(child["refresh_token"])).json()
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401
    assert (await accounts.refresh(grandchild["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["x", "x" * 43, "ü", "\u0000", "' OR 1=1 --"])
async def test_a_made_up_token_harms_nobody(accounts: Accounts, tokens: dict[str, str], token: str) -> None:
    answer = await accounts.refresh(token)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/invalid-grant")
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 200


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(
    accounts: Accounts, tokens: dict[str, str]
) -> None:
    as_refresh = await accounts.refresh(tokens["access_token"])
    assert as_refresh.status_code in {401, 422}
    assert (await accounts.me(tokens["refresh_token"])).status_code == 401


async def test_a_session_ends_after_7_idle_days(accounts: Accounts, tokens: dict[str, str]) -> None:
    accounts.wait(days=6.9)
    fresh = (await accounts.refresh(tokens["refresh_token"])).json()
    accounts.wait(days=7.1)
    assert (await accounts.refresh(fresh["refresh_token"])).status_code == 401


async def test_a_session_ends_after_30_days_however_busy(accounts: Accounts, tokens: dict[str, str]) -> None:
    token = tokens["refresh_token"]
    for _ in range(4):
        accounts.wait(days=6.5)
        token = (await accounts.refresh(token)).json()["refresh_token"]
    accounts.wait(days=6.5)
    assert (await accounts.refresh(token)).status_code == 401


async def test_logging_out_is_felt_at_once(accounts: Accounts, tokens: dict[str, str]) -> None:
    assert (await accounts.http.post("/auth/logout", headers=bearer(tokens["access_token"]))).status_code == 204
    assert (await accounts.me(tokens["access_token"])).status_code == 401
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401
    await accounts.harness.settled()
    assert reasons(accounts) == ["logout"]


async def test_logging_out_works_with_the_refresh_token_alone_and_twice(
    accounts: Accounts, tokens: dict[str, str]
) -> None:
    accounts.wait(minutes=20)
    for _ in range(2):
        answer = await accounts.http.post("/auth/logout", json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 204
    assert (await accounts.http.post("/auth/logout")).status_code == 204
    assert (await accounts.refresh(tokens["refresh_token"])).status_code == 401
    await accounts.harness.settled()
    assert reasons(accounts) == ["logout"]


async def test_another_session_of_the_user_goes_on(accounts: Accounts, tokens: dict[str, str]) -> None:
    other = await accounts.log_in()
    await accounts.http.post("/auth/logout", headers=bearer(tokens["access_token"]))
    assert (await accounts.me(other["access_token"])).status_code == 200
    assert (await accounts.refresh(other["refresh_token"])).status_code == 200


async def test_a_new_password_ends_the_other_sessions(accounts: Accounts, tokens: dict[str, str]) -> None:
    other = await accounts.log_in()
    body = {"current_password": PASSWORD, "new_password": "another book about ships"}
    changed = await accounts.http.post("/auth/password", json=body, headers=bearer(tokens["access_token"]))
    assert changed.status_code == 204
    assert (await accounts.me(tokens["access_token"])).status_code == 200
    assert (await accounts.me(other["access_token"])).status_code == 401
    old = await accounts.http.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD})
    assert old.status_code == 401
    await accounts.log_in(password="another book about ships")
    await accounts.harness.settled()
    assert reasons(accounts) == ["password_changed"]


async def test_a_wrong_current_password_changes_nothing(accounts: Accounts, tokens: dict[str, str]) -> None:
    headers = bearer(tokens["access_token"])
    wrong = {"current_password": "wrong", "new_password": "another book about ships"}
    weak = {"current_password": PASSWORD, "new_password": "password1234"}
    first = await accounts.http.post("/auth/password", json=wrong, headers=headers)
    second = await accounts.http.post("/auth/password", json=weak, headers=headers)
    assert (first.status_code, first.json()["type"]) == (403, "/problems/wrong-password")
    assert (second.status_code, second.json()["type"]) == (422, "/problems/weak-password")
    statuses = [(await accounts.http.post("/auth/password", json=wrong, headers=headers)).status_code for _ in range(6)]
    assert statuses[-1] == 429
    await accounts.log_in()


async def test_a_browser_keeps_its_refresh_token_where_no_script_sees_it(accounts: Accounts) -> None:
    await accounts.register()
    async with accounts.browser() as browser:
        answer = await browser.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
        assert "refresh_token" not in answer.json()
        assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/auth", "max-age=604800"))
        assert "secure" not in cookie, "the demo has no TLS"
        refreshed = await browser.post("/auth/refresh", headers=SAME_SITE)
        assert refreshed.status_code == 200
        assert "refresh_token" not in refreshed.json()
        assert refreshed.headers["set-cookie"] != answer.headers["set-cookie"]
        assert (await browser.post("/auth/logout", headers=SAME_SITE)).status_code == 204
        assert "refresh_token" not in browser.cookies
        assert (await browser.post("/auth/refresh", headers=SAME_SITE)).status_code == 401


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://auth.evil.example"}]
)
async def test_another_sites_page_cannot_use_the_cookie(accounts: Accounts, headers: dict[str, str]) -> None:
    await accounts.register()
    async with accounts.browser() as browser:
        await browser.post("/auth/login", json={"email": "anne@example.com", "password": PASSWORD})
        for path in ("/auth/refresh", "/auth/logout"):
            answer = await browser.post(path, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/csrf")
            assert "access-control-allow-origin" not in answer.headers
        assert (await browser.post("/auth/refresh", headers={"Origin": "http://auth"})).status_code == 200


async def test_in_production_the_cookie_needs_tls(sqlite_url: str) -> None:
    secrets = {
        "profile": "production",
        "amqp_url": "amqps://a:b@c/",
        "master_key": "something long and private",
        "operator_password": "nobody will guess this one",
    }
    async with running("auth_svc", build, settings(sqlite_url, **secrets)) as harness:
        credentials = {"email": "operator@example.com", "password": "nobody will guess this one"}
        answer = await harness.http.post("/auth/login", json=credentials)
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "strict-transport-security" in answer.headers
