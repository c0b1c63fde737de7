"""A running shop as an operator reaches it: its HTTP APIs, its broker's figures, its journal. Nobody's database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx

from chassis.topology import VHOST
from contracts.envelope import Envelope
from ops.broker import ManagementApi, ManagementError
from ops.config import ShopConfig, read_state
from ops.definitions import missing_bindings
from ops.journal import Selection, search_journal

PATIENT_SECONDS: Final = 60.0
"""Figures of a large shop, and a look at a thousand dead letters, take seconds."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What is said of a service that cannot be reached: `source` told where it is; `absent` and `slow`, what to do."""

    source: str
    absent: str
    slow: str


LOCAL: Final = Hints("shop.json", "Is `make run` still up? (RUN_DIR, ports)", "./shop status says what keeps it")


class ShopNotRunningError(Exception):
    """There is no running shop to ask; the message says how to start one."""


class ShopApi:
    """Questions to a running shop, asked with the operator's login."""

    def __init__(self, state: Mapping[str, Any], http: httpx.AsyncClient) -> None:
        self.state = state
        self._http = http
        self._token: str | None = None

    async def readiness(self) -> dict[str, dict[str, str]]:
        """Per service what keeps it from working; empty: it works."""
        result: dict[str, dict[str, str]] = {}
        for service, url in self.state["services"].items():
            try:
                answer = await self._http.get(f"{url}/readyz")
                result[service] = answer.json()["failing"]
            except httpx.TransportError:
                result[service] = {"process": f"nothing answers at {url}"}
            except (ValueError, KeyError, TypeError):
                result[service] = {"process": f"something else answers at {url}"}
        return result

    async def get(self, service: str, path: str, params: Mapping[str, Any] | None = None) -> httpx.Response:
        """A GET as operator."""
        return await self._ask("GET", service, path, params=params)

    async def post(self, service: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """A POST as operator."""
        return await self._ask("POST", service, path, json=body)

    async def _ask(self, method: str, service: str, path: str, **request: Any) -> httpx.Response:
        """One request with the operator's login; one that has run out is renewed."""
        url = f"{self.state['services'][service]}{path}"
        answer = await self._http.request(
            method, url, headers=await self._headers(), timeout=PATIENT_SECONDS, **request
        )
        if answer.status_code == 401:
            self._token = None
            answer = await self._http.request(
                method, url, headers=await self._headers(), timeout=PATIENT_SECONDS, **request
            )
        return answer

    def queues(self) -> list[dict[str, Any]] | None:
        """The broker's queues with their figures; None if its management API is not ours to ask.

        Raises:
            ManagementError: it should answer and does not.
        """
        management = self.state.get("management")
        if management is None:
            return None
        with ManagementApi(management["url"], management["user"], management["password"]) as api:
            return sorted(api.queues("/"), key=lambda queue: str(queue["name"]))

    def missing_bindings(self) -> list[str]:
        """What some queue should get and does not; empty if the broker's management API is not ours to ask.

        Raises:
            ManagementError: it should answer and does not.
        """
        management = self.state.get("management")
        if management is None:
            return []
        with ManagementApi(management["url"], management["user"], management["password"]) as api:
            return missing_bindings(api.bindings(VHOST))

    async def conversation(self, order_id: UUID) -> list[Envelope]:
        """Every event about an order, from all services, in the order the journal has them; empty without a broker."""
        amqp = self.state.get("amqp")
        if amqp is None:
            return []
        url: str = amqp["monitoring"]
        selection = Selection(order=order_id)
        return [entry.envelope async for entry in search_journal(url, selection, _journal_start(order_id))]

    async def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self._access_token()}"}

    async def _access_token(self) -> str:
        if self._token is None:
            operator = self.state["operator"]
            answer = await self._http.post(
                f"{self.state['services']['auth']}/auth/login",
                json={"email": operator["email"], "password": operator["password"], "cookie": False},
            )
            answer.raise_for_status()
            self._token = str(answer.json()["access_token"])
        return self._token


@asynccontextmanager
async def running_shop(config: ShopConfig) -> AsyncIterator[ShopApi]:
    """The shop that runs from this folder.

    Raises:
        ShopNotRunningError: none does.
    """
    state = read_state(config.state_file)
    if state is None:
        raise ShopNotRunningError(f"No shop runs from {config.run_dir}. Start one with `make run`.")
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        yield ShopApi(state, http)


def explained(error: httpx.HTTPError, hints: Hints = LOCAL) -> str:
    """What went wrong on the way to a service, and what to do about it."""
    if isinstance(error, httpx.HTTPStatusError):
        asked = f"{error.request.method} {error.request.url.copy_with(query=None)}"
        if error.response.status_code in {401, 403} and error.request.url.path.endswith("/auth/login"):
            return f"{asked} refused the operator's login in {hints.source}. Was the password changed? Put it there"
        return f"{asked} answered {error.response.status_code}; the log of that service says why"
    try:
        where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:  # it never came to a request
        return str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return f"nothing answers at {where}, where {hints.source} says a service is. {hints.absent}"
    if isinstance(error, httpx.TimeoutException):
        return f"{where} did not answer in time; {hints.slow}"
    return f"{where}: {error or type(error).__name__}"


def _journal_start(order_id: UUID) -> datetime | str:
    """Where to begin reading: our ids are UUIDv7 and tell when they were made; a minute of slack for clocks."""
    if order_id.version != 7:
        return "first"
    made = datetime.fromtimestamp((order_id.int >> 80) / 1000, UTC)
    return made - timedelta(minutes=1)


__all__ = ["Hints", "ManagementError", "ShopApi", "ShopNotRunningError", "explained", "running_shop"]
