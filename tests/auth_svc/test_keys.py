"""Signing keys: sealed in the store, published to everybody, renewed in time, withdrawn when they leak."""

from typing import Any

import jwt
import pytest

from auth_svc.app import build
from auth_svc.domain.signing_key import ANNOUNCED, LIFE, SigningKey
from auth_svc.store import signing_keys
from auth_svc.tokens import SealBrokenError, Vault
from chassis.auth import TokenVerifier
from chassis.seedwork import DomainError
from chassis.token_feed import _parse_jwks
from contracts.auth import SigningKeyPublished, UserRegistered
from tests.auth_svc.accounts import Accounts, kid_of, published, rotate, settings, sweep
from tests.support.harness import Harness, running


async def test_the_first_start_makes_and_publishes_a_key(accounts: Accounts) -> None:
    await accounts.register()
    tokens = await accounts.log_in()
    await accounts.harness.settled()
    (key,) = published(accounts.harness)
    assert kid_of(tokens["access_token"]) == key.kid
    assert key.expires_at - key.not_before == LIFE


async def test_the_published_key_verifies_tokens_elsewhere(accounts: Accounts) -> None:
    user_id = await accounts.register()
    tokens = await accounts.log_in()
    answer = await accounts.http.get("/auth/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    elsewhere = TokenVerifier(accounts.clock)
    for key in _parse_jwks(answer.json(), accounts.clock.now()):
        elsewhere.add_key(key)
    principal = elsewhere.verify(tokens["access_token"])
    assert (str(principal.user_id), principal.roles) == (user_id, frozenset({"customer"}))
    assert "d" not in answer.json()["keys"][0], "the private half stays at home"


async def test_a_token_says_no_more_than_it_must(accounts: Accounts) -> None:
    await accounts.register()
    token = (await accounts.log_in())["access_token"]
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "roles", "iat", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 600


async def test_every_start_publishes_the_keys_again(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        await harness.settled()
        first = published(harness)
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        await harness.settled()
        assert published(harness) == first
        versions = [e.aggregateversion for e in harness.envelopes() if e.type == SigningKeyPublished.wire_name]
        assert versions == [2]


async def test_a_session_outlives_a_restart(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        tokens = (await login_operator(harness)).json()
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await harness.http.get("/auth/me", headers=headers)).status_code == 200
        assert (await harness.http.post("/auth/logout", headers=headers)).status_code == 204
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        assert (await harness.http.get("/auth/me", headers=headers)).status_code == 401, "so does its end"


async def login_operator(harness: Harness) -> Any:
    default = settings("sqlite://")
    credentials = {"email": default.operator_email, "password": default.operator_password.get_secret_value()}
    return await harness.http.post("/auth/login", json=credentials)


async def test_a_rotation_is_announced_before_the_key_is_used(accounts: Accounts) -> None:
    await accounts.register()
    old = kid_of((await accounts.log_in())["access_token"])
    new = await rotate(accounts, withdraw=False)
    tokens = await accounts.log_in()
    assert kid_of(tokens["access_token"]) == old
    await accounts.harness.settled()
    assert published(accounts.harness)[-1].kid == new
    listed = (await accounts.http.get("/auth/.well-known/jwks.json")).json()["keys"]
    assert [key["kid"] for key in listed] == [old, new]
    accounts.clock.advance(ANNOUNCED)
    fresh = (await accounts.refresh(tokens["refresh_token"])).json()["access_token"]
    assert kid_of(fresh) == new
    assert (await accounts.me(fresh)).status_code == 200


async def test_keys_are_renewed_before_they_end(accounts: Accounts) -> None:
    await accounts.register()
    first = kid_of((await accounts.log_in())["access_token"])
    assert await sweep(accounts, "key_renewal") == 0
    accounts.wait(days=29.5)
    assert await sweep(accounts, "key_renewal") == 1
    assert await sweep(accounts, "key_renewal") == 0
    assert kid_of((await accounts.log_in())["access_token"]) == first
    accounts.wait(days=1)
    assert kid_of((await accounts.log_in())["access_token"]) != first


async def test_after_a_long_sleep_there_is_a_key_at_once(accounts: Accounts) -> None:
    await accounts.register()
    accounts.wait(days=90)
    assert await sweep(accounts, "key_renewal") == 1
    assert (await accounts.me((await accounts.log_in())["access_token"])).status_code == 200


async def test_private_keys_are_sealed_in_the_store(accounts: Accounts) -> None:
    (row,) = await accounts.harness.runtime.reader.all(signing_keys.select())
    vault = Vault(settings("sqlite://").master_key.get_secret_value())
    key = SigningKey(**row)
    private = vault.open(key)
    assert private.public_key().public_bytes_raw() == row["public_key"]
    assert private.private_bytes_raw() not in row["sealed"]
    with pytest.raises(SealBrokenError, match="AUTH_MASTER_KEY"):
        Vault("another key").open(key)


async def test_another_master_key_is_noticed_at_start(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url)):
        pass
    with pytest.raises(SealBrokenError):
        async with running("auth_svc", build, settings(sqlite_url, master_key="another one")):
            pass


async def test_the_first_operator_is_made_once(sqlite_url: str) -> None:
    for _ in range(2):
        async with running("auth_svc", build, settings(sqlite_url)) as harness:
            assert (await login_operator(harness)).status_code == 200
            await harness.settled()
            registered = [event for event in harness.outgoing() if isinstance(event, UserRegistered)]
    assert registered == []


async def test_a_customer_does_not_become_operator_by_the_settings(sqlite_url: str) -> None:
    async with running("auth_svc", build, settings(sqlite_url, operator_email="")) as harness:
        body = {"email": "operator@example.com", "password": "a book about whales", "name": "X"}
        assert (await harness.http.post("/auth/register", json=body)).status_code == 201
        with pytest.raises(DomainError, match="customer"):
            await harness.app.state.sessions.ensure_operator("operator@example.com", "a book about ships")
    async with running("auth_svc", build, settings(sqlite_url)) as harness:
        assert (await login_operator(harness)).status_code == 401
