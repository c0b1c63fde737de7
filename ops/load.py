"""Orders at a fixed pace against a running shop: open loop, as customers come, who do not wait for each other.

Each order is placed, waited for, paid and waited for again. One that cannot be seen through is cancelled, so the shop
adds up afterwards. Times are counted from the moment an order was due: if this machine or the shop falls behind, the
wait before it began is part of them.
"""

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx

from ops.shop_api import ShopApi

TITLES: Final = 10
"""As many different titles are bought, so that not every order waits for the same row of stock."""
PATIENCE_SECONDS: Final = 30.0
"""An order that is not paid by then is an error, and cancelled."""
MAX_UNDER_WAY: Final = 2_000
"""More orders at once than this are not begun but counted as errors: the shop is far behind already."""
REPORT_SECONDS: Final = 0.25
CARD: Final = "pm_card_visa"
_LATER: Final = {404, 409, 503}
"""Answers to a payment that may be another in a moment: not heard of the order yet, in progress, overloaded."""


class LoadError(Exception):
    """The load could not begin; the message says why."""


@dataclass(slots=True)
class Tally:
    """What became of the orders so far; times are in seconds."""

    rate: float
    begun_at: float = field(default_factory=time.perf_counter)
    ended_at: float | None = None
    due: int = 0
    accepted: int = 0
    paid: int = 0
    under_way: int = 0
    accept_seconds: list[float] = field(default_factory=list)
    paid_seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def seconds(self) -> float:
        return (self.ended_at or time.perf_counter()) - self.begun_at

    def to_json(self) -> dict[str, Any]:
        """The figures for a script; times in milliseconds, null while nothing was measured."""
        return {
            "rate": self.rate,
            "seconds": round(self.seconds, 1),
            "due": self.due,
            "accepted": self.accepted,
            "paid": self.paid,
            "accept_ms": {"p50": percentile(self.accept_seconds, 50), "p99": percentile(self.accept_seconds, 99)},
            "paid_ms": {"p50": percentile(self.paid_seconds, 50), "p99": percentile(self.paid_seconds, 99)},
            "failed": self.failed,
            "errors": dict(self.errors.most_common()),
        }


def percentile(seconds: Sequence[float], percent: int) -> float | None:
    """By nearest rank, in milliseconds; None of nothing."""
    if not seconds:
        return None
    ranked = sorted(seconds)
    return round(ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] * 1000, 1)


async def run_load(
    shop: ShopApi, http: httpx.AsyncClient, *, rate: float, seconds: float, report: Callable[[Tally], None]
) -> Tally:
    """Bring `rate` orders a second for so many seconds and see each through; `report` is called as it goes.

    Raises:
        LoadError: the shop did not take a customer or the titles to be sold.
    """
    count = max(1, round(rate * seconds))
    skus = await _stocked(shop, count)
    buyer = _Buyer(shop.state["services"], http, await _customer(shop, http), skus)
    tally = Tally(rate)
    reporting = asyncio.create_task(_report(tally, report))
    try:
        async with asyncio.TaskGroup() as orders:
            for number in range(count):
                due_at = tally.begun_at + number / rate
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                tally.due += 1
                if tally.under_way >= MAX_UNDER_WAY:
                    tally.errors[f"not begun: {MAX_UNDER_WAY} orders were under way"] += 1
                    continue
                orders.create_task(_see_through(buyer, number, due_at, tally))
    finally:
        tally.ended_at = time.perf_counter()
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        report(tally)
    return tally


async def _report(tally: Tally, report: Callable[[Tally], None]) -> None:
    while True:
        report(tally)
        await asyncio.sleep(REPORT_SECONDS)


async def _see_through(buyer: "_Buyer", number: int, due_at: float, tally: Tally) -> None:
    tally.under_way += 1
    order_id: str | None = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            order_id = await buyer.place(number)
            tally.accepted += 1
            tally.accept_seconds.append(time.perf_counter() - due_at)
            await buyer.pay(order_id)
        tally.paid += 1
        tally.paid_seconds.append(time.perf_counter() - due_at)
    except TimeoutError:
        tally.errors[f"not paid within {PATIENCE_SECONDS:.0f} s"] += 1
        await buyer.cancel(order_id)
    except (httpx.HTTPError, _NotTakenError) as error:
        tally.errors[str(error) or type(error).__name__] += 1
        await buyer.cancel(order_id)
    finally:
        tally.under_way -= 1


class _NotTakenError(Exception):
    """An answer that ends an order; says which."""


@dataclass(frozen=True, slots=True)
class _Buyer:
    urls: Mapping[str, str]
    http: httpx.AsyncClient
    headers: Mapping[str, str]
    skus: Sequence[str]

    async def place(self, number: int) -> str:
        body = {"lines": [{"sku": self.skus[number % len(self.skus)], "quantity": 1}]}
        url, key = f"{self.urls['order']}/orders", str(uuid4())
        answer = await self._post(url, body, key)
        while _problem(answer) == "unknown-product":  # order_svc has not heard of a new title yet
            await asyncio.sleep(0.2)
            answer = await self._post(url, body, str(uuid4()))
        return str(_expected(answer, "POST /orders", 201).json()["id"])

    async def pay(self, order_id: str) -> None:
        """Wait for the goods, pay, wait for the money."""
        await self._until(order_id, "awaiting_payment")
        url, key = f"{self.urls['payment']}/payments", str(uuid4())
        body = {"order_id": order_id, "payment_method": CARD}
        while True:
            answer = await self._post(url, body, key)
            if answer.status_code not in _LATER:
                break
            await asyncio.sleep(0.2)
        _expected(answer, "POST /payments", 201)
        await self._until(order_id, "paid")

    async def cancel(self, order_id: str | None) -> None:
        """As well as it goes; what stays has a deadline of its own."""
        if order_id is not None:
            with suppress(httpx.HTTPError):
                await self._post(f"{self.urls['order']}/orders/{order_id}/cancel", None)

    async def _until(self, order_id: str, wanted: str) -> None:
        url = f"{self.urls['order']}/orders/{order_id}?wait=20&until={wanted}"
        while True:
            answer = await self.http.get(url, headers=self.headers)
            status = _expected(answer, "GET /orders/{order_id}", 200).json()["status"]
            if status in {wanted, "paid"}:
                return
            if status in {"rejected", "cancelled", "refunding", "refunded"}:
                raise _NotTakenError(f"the order became {status}")

    async def _post(self, url: str, body: Any, key: str | None = None) -> httpx.Response:
        return await self.http.post(url, json=body, headers={**self.headers, "Idempotency-Key": key or str(uuid4())})


def _expected(answer: httpx.Response, what: str, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise _NotTakenError(f"{what} answered {answer.status_code} {_problem(answer)}".rstrip())
    return answer


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["type"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        return ""


async def _stocked(shop: ShopApi, count: int) -> list[str]:
    """The titles that are sold, listed if they are not yet, with as many copies more as will be bought."""
    skus = [f"LOAD-{number:02}" for number in range(1, TITLES + 1)]
    for sku in skus:
        product = {
            "sku": sku,
            "title": f"Load test, volume {sku[-2:]}",
            "author": "Nobody",
            "category": "Load test",
            "description": "Bought by `shop load`.",
            "price": {"amount": 1000, "currency": "EUR"},
        }
        listed = await shop.post("catalog", "/catalog/products", product)
        if listed.status_code not in {201, 409}:
            raise LoadError(f"the catalogue did not take {sku}: {listed.status_code} {_problem(listed)}")
        stock = {"delta": math.ceil(count / TITLES), "reason": "shop load"}
        filled = await shop.post("catalog", f"/catalog/products/{sku}/stock", stock)
        if filled.is_error:
            raise LoadError(f"the catalogue did not take stock of {sku}: {filled.status_code} {_problem(filled)}")
    return skus


async def _customer(shop: ShopApi, http: httpx.AsyncClient) -> dict[str, str]:
    """A customer of this run's own, logged in."""
    url = shop.state["services"]["auth"]
    login = {"email": f"load-{secrets.token_hex(8)}@shop.example", "password": secrets.token_urlsafe(15)}
    made = await http.post(f"{url}/auth/register", json={**login, "name": "Load"})
    if made.is_error:
        raise LoadError(f"no customer could be made: {made.status_code} {_problem(made)}")
    entered = await http.post(f"{url}/auth/login", json={**login, "cookie": False})
    if entered.is_error:
        raise LoadError(f"the customer could not log in: {entered.status_code} {_problem(entered)}")
    return {"Authorization": f"Bearer {entered.json()['access_token']}"}
