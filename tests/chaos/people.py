"""Somebody with an account, who logs in again before the token runs out."""

import asyncio
import secrets
from collections.abc import Mapping
from uuid import uuid4

from tests.chaos.asking import Asker, Call
from tests.chaos.record import Stopwatch

TOKEN_SECONDS = 420.0
"""When to log in again; tokens live 600 s."""


class Person:
    """A customer, or the operator."""

    def __init__(self, email: str, password: str, asker: Asker, watch: Stopwatch) -> None:
        self.email = email
        self._password = password
        self._asker = asker
        self._watch = watch
        self._headers: dict[str, str] = {}
        self._since = 0.0
        self._logging_in = asyncio.Lock()

    @classmethod
    async def register(cls, asker: Asker, watch: Stopwatch) -> "Person":
        """Somebody new, logged in."""
        person = cls(f"{uuid4().hex}@chaos.example", secrets.token_urlsafe(15), asker, watch)
        body = {"email": person.email, "password": person._password, "name": "A Reader"}
        answer, _ = await asker.insist(Call("register", "auth", "/auth/register", body=body, private=True), {})
        if answer.status not in {201, 409}:  # 409: an attempt before this one was not answered and took effect
            raise RuntimeError(f"registering was answered {answer.status}: {answer.body[:300]!r}")
        await person.log_in()
        return person

    async def headers(self) -> Mapping[str, str]:
        """What proves who is asking."""
        if not self._headers or self._watch.now() - self._since > TOKEN_SECONDS:
            await self.log_in()
        return self._headers

    async def log_in(self) -> None:
        """A new session; at most one at a time is being made."""
        if self._logging_in.locked():
            async with self._logging_in:
                return
        async with self._logging_in:
            body = {"email": self.email, "password": self._password, "cookie": False}
            answer, _ = await self._asker.insist(Call("log in", "auth", "/auth/login", body=body, private=True), {})
            if answer.status != 200:
                raise RuntimeError(f"logging in was answered {answer.status}: {answer.body[:300]!r}")
            self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            self._since = self._watch.now()
