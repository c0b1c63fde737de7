"""auth_svc as its clients see it, with cheap hashes and a clock that the test moves."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import jwt
from fastapi import FastAPI

from auth_svc import handlers
from auth_svc.settings import AuthSettings
from auth_svc.tokens import Vault
from contracts.auth import SessionRevoked, SigningKeyPublished
from tests.support.clocks import ManualClock
from tests.support.harness import Harness

PASSWORD = "a book about whales"
JSON = {"Content-Type": "application/json"}
SAME_SITE = {"X-Requested-With": "tests"}

ANNE = {"email": "anne@example.com", "password": PASSWORD, "name": "Anne Elliot"}
WRONG = {"email": "anne@example.com", "password": "a wrong password"}


def settings(url: str, **changes: Any) -> AuthSettings:
    cheap = {"argon2_memory_kib": 8, "argon2_passes": 1}
    return AuthSettings.model_validate({"database_url": url, **cheap, **changes})


@dataclass
class Accounts:
    """auth_svc as its clients see it."""

    harness: Harness
    clock: ManualClock

    @property
    def app(self) -> FastAPI:
        return self.harness.app

    @property
    def http(self) -> httpx.AsyncClient:
        """Keeps no cookies: each test says what it sends."""
        self.harness.http.cookies.clear()
        return self.harness.http

    def browser(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """A client with cookies of its own, at an address of its own."""
        transport = httpx.ASGITransport(self.app, client=(address, 5000))
        return httpx.AsyncClient(transport=transport, base_url="http://auth")

    async def register(self, email: str = "anne@example.com", password: str = PASSWORD) -> str:
        answer = await self.http.post("/auth/register", json={"email": email, "password": password, "name": "Anne"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["user_id"])

    async def log_in(self, email: str = "anne@example.com", password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.http.post("/auth/login", json={"email": email, "password": password, "cookie": False})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def refresh(self, token: str) -> httpx.Response:
        return await self.http.post("/auth/refresh", json={"refresh_token": token})

    async def me(self, access_token: str) -> httpx.Response:
        return await self.http.get("/auth/me", headers=bearer(access_token))

    async def operator(self) -> dict[str, str]:
        default = AuthSettings()
        tokens = await self.log_in(default.operator_email, default.operator_password.get_secret_value())
        return bearer(tokens["access_token"])

    def wait(self, **time: float) -> None:
        self.clock.advance(timedelta(**time))


def bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}


def reasons(accounts: Accounts) -> list[str]:
    return [event.reason for event in accounts.harness.outgoing() if isinstance(event, SessionRevoked)]


def published(harness: Harness) -> list[SigningKeyPublished]:
    return [event for event in harness.outgoing() if isinstance(event, SigningKeyPublished)]


def kid_of(access_token: str) -> str:
    return str(jwt.get_unverified_header(access_token)["kid"])


async def sweep(accounts: Accounts, name: str) -> int:
    (found,) = (sweep for sweep in accounts.harness.runtime.sweeper.sweeps if sweep.name == name)
    return await found.run()


async def rotate(accounts: Accounts, *, withdraw: bool) -> str:
    vault = Vault(settings("sqlite://").master_key.get_secret_value())
    handler = handlers.rotate_signing_key(vault, withdraw=withdraw)
    kid = await accounts.harness.runtime.writer.execute(handler, None)
    await sweep(accounts, "key_refresh")
    return str(kid)
