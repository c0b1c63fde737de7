"""Every border of delivery, who comes to it on the path of an order, and a way to make them stumble there."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final
from uuid import uuid4

import pytest

from tests.e2e.client import Customer, Shop
from tests.support.waiting import wait_until

_WRITES: Final = frozenset({"writer.before_commit", "writer.after_commit"})
_SENDS: Final = frozenset(
    {"relay.after_select", "relay.after_publish", "relay.after_confirm", "relay.before_mark", "relay.after_mark"}
)
_SWEEPS: Final = frozenset({"sweep.before", "sweep.after"})
_RETRIES: Final = frozenset({"consumer.before_retry", "consumer.after_retry"})
_READS: Final = _RETRIES | {
    "consumer.before_handle",
    "consumer.after_inbox",
    "consumer.before_ack",
    "consumer.after_ack",
}
_ANSWERS_ONCE: Final = frozenset({"idempotency.before_store", "idempotency.after_store"})
_CALLS: Final = frozenset({"provider.before_call", "provider.after_call", "provider.before_result"})
_EVERYBODY: Final = _WRITES | _SENDS | _SWEEPS

REACHED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "auth": _EVERYBODY,
        "catalog": _EVERYBODY | _READS,
        "order": _EVERYBODY | _READS | _ANSWERS_ONCE,
        "payment": _EVERYBODY | _READS | _ANSWERS_ONCE | _CALLS,
    }
)
"""Per service, the points it comes to while people buy."""

_CLOSEST: Final = MappingProxyType(
    {"catalog": _READS, "order": _WRITES | _SENDS | _ANSWERS_ONCE | _SWEEPS, "payment": _CALLS}
)
"""Where each point matters most, or is as good as anywhere."""

EVERYTHING: Final = "EVERY_FAILPOINT" in os.environ
_MOST_PEOPLE: Final = 40
_ENOUGH_BATCHES: Final = 10
_NEXT_AFTER: Final = 5.0
_AFTERWARDS: Final = 0.3


@dataclass(frozen=True)
class Case:
    """One service stumbles at one point, one way, the first or the second time it gets there."""

    service: str
    point: str
    action: str
    hit: int

    def __str__(self) -> str:
        return f"{self.service}.{self.point}:{self.action}@{self.hit}"

    @property
    def specification(self) -> str:
        """For `FAILPOINT`. To a retry nobody comes unless something fails before, and those that fail in one batch come
        there together: for a second time, more than two must fail."""
        if self.point not in _RETRIES:
            return str(self)
        failing = 1 if self.hit == 1 else _ENOUGH_BATCHES
        failures = (f"{self.service}.consumer.before_handle:raise@{hit + 1}" for hit in range(failing))
        return ",".join([str(self), *failures])


def cases(service: str, point: str) -> Iterator[Case]:
    """Both ways at both hits where it matters most or everything is asked for; elsewhere one death.

    auth_svc is asked by nobody on the path of an order: of it, only its own transactions.
    """
    if EVERYTHING or point in _CLOSEST.get(service, ()):
        yield from (Case(service, point, action, hit) for action in ("kill", "raise") for hit in (1, 2))
    elif service != "auth" or point in _WRITES:
        yield Case(service, point, "kill", 1)


class PatientShop(Shop):
    """Its users come back after a 500, too: an exception at a border is one.

    One whose process stumbles twice over a payment waits for two leases of 30 seconds, and for the machine besides.
    """

    come_back: ClassVar = frozenset({500, 502, 503, 504})
    patience: ClassVar = 100.0


class Stumbling:
    """People who buy while one service after the other stumbles; `everybody_ends` sees those who began to the end."""

    def __init__(self, shop: Shop, customer: Customer, sku: str) -> None:
        self._shop = shop
        self._processes = shop.processes
        self._customer = customer
        self._sku = sku
        self._people: list[asyncio.Task[None]] = []

    async def at(self, case: Case) -> None:
        """Let people come until it happens; a process that died is started again."""
        self._processes.arm(case.service, case.specification)
        for _ in range(_MOST_PEOPLE):
            if await self._happens(case, self._somebody(case.service)):
                break
        else:
            pytest.fail(f"{case} was never reached, only {self._processes.trace(case.service)}")
        if case.action == "kill":
            status = await asyncio.to_thread(self._processes.wait_dead, case.service)
            assert status == -signal.SIGKILL, f"{case}: exit status {status}"
            await asyncio.to_thread(self._processes.start, case.service)
        else:
            self._processes.arm(case.service, "")

    async def everybody_ends(self) -> None:
        """Everybody has what they came for."""
        await asyncio.gather(*self._people)

    def _somebody(self, service: str) -> asyncio.Task[None]:
        somebody = asyncio.create_task(self._register() if service == "auth" else self._buy())
        self._people.append(somebody)
        return somebody

    async def _happens(self, case: Case, somebody: asyncio.Task[None]) -> bool:
        def happened() -> bool:
            return str(case) in self._processes.trace(case.service)

        with contextlib.suppress(AssertionError):
            await wait_until(lambda: happened() or somebody.done(), timeout=_NEXT_AFTER)
            await wait_until(happened, timeout=_AFTERWARDS)
        return happened()

    async def _buy(self) -> None:
        await self._shop.buy(self._customer, self._sku)

    async def _register(self) -> None:
        """A repeated registration may find the address taken, by itself."""
        body = {"email": f"{uuid4().hex}@shop.example", "password": secrets.token_urlsafe(15)}
        registered = await self._shop.call("auth", "POST", "/auth/register", json={**body, "name": "A Reader"})
        assert registered.status_code in {201, 409}, registered.text
        entered = await self._shop.call("auth", "POST", "/auth/login", json={**body, "cookie": False})
        assert entered.status_code == 200, entered.text
