"""Who comes to a shop: people at a fixed pace who look around, order, pay, are refused, change their minds, and leave.

The load is open: an order is due when its time has come, whether or not the earlier ones are answered, and times are
counted from then. A visitor buys some orders over connections of their own, logs out and is gone; another one comes.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final
from uuid import uuid4

from bench.http import Answer, Connection

WISHES: Final[Mapping[str, float]] = {
    "pay": 0.80,
    "pay, following the events": 0.05,
    "pay after a refused card": 0.05,
    "cancel before paying": 0.05,
    "cancel after paying": 0.03,
    "pay after a wrong password": 0.02,
}
"""What somebody comes for, and how often."""
VISIT_ORDERS: Final = 20
"""Then a visitor logs out, and the next order is a new customer's."""
FIRST_VISIT_ORDERS: Final = 2
"""The same while the shop warms up: its customers fill auth_svc's caches before memory is judged."""
LOGIN_SECONDS: Final = 400.0
"""A token is good for ten minutes: a visitor logs in again in time."""
PATIENCE_SECONDS: Final = 60.0
"""An order not seen through by then is an error, and cancelled."""
AGAIN_SECONDS: Final = 0.2
MAX_UNDER_WAY: Final = 300
"""More at once are not begun but counted as errors: the shop is far behind already."""
LATER: Final = frozenset({404, 409, 503})
"""Answers to a payment that may be another in a moment: not heard of the order yet, in progress, overloaded."""
OVER: Final = frozenset({"rejected", "cancelled", "refunding", "refunded"})


class UnexpectedAnswerError(Exception):
    """An answer that ends an order; says which."""


@dataclass
class Tally:
    """What came of one window of time; times are in seconds, from the moment an order was due."""

    placed: list[float] = field(default_factory=list)
    paid: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def orders(self) -> int:
        """How many were seen through, paid or cancelled."""
        return sum(count for what, count in self.done.items() if what in WISHES)


class Visitor:
    """One customer with a connection to each service; one request at a time."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._connections = {service: Connection(url) for service, url in urls.items()}
        self._login = {"email": f"{uuid4().hex}@bench.example", "password": secrets.token_urlsafe(15)}
        self._headers: dict[str, str] = {}
        self._log_in_again_at = 0.0
        self.orders = 0

    async def enter(self, tally: Tally) -> None:
        """Be logged in: a new customer registers first."""
        if not self._headers:
            await self._ask_at_the_door(201, "/auth/register", {**self._login, "name": "Bench"}, tally)
            tally.done["registered"] += 1
        if time.monotonic() >= self._log_in_again_at:
            answer = await self._ask_at_the_door(200, "/auth/login", {**self._login, "cookie": False}, tally)
            self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            self._log_in_again_at = time.monotonic() + LOGIN_SECONDS
            tally.done["logged in"] += 1

    async def mistype(self) -> None:
        body = {**self._login, "password": "not the password", "cookie": False}
        await self._ask(401, "auth", "POST", "/auth/login", body)

    async def look_around(self, sku: str, tally: Tally) -> None:
        """A page of a category, a search, the product, the own orders."""
        for target in ("/catalog/products?category=Bench&limit=20", f"/catalog/products?q={sku}"):
            await self._ask(200, "catalog", "GET", target)
        await self._ask(200, "catalog", "GET", f"/catalog/products/{sku}")
        await self._ask(200, "order", "GET", "/orders?limit=10")
        tally.done["reads"] += 4

    async def place(self, sku: str) -> str:
        body = {"lines": [{"sku": sku, "quantity": 1}]}
        return str((await self._ask(201, "order", "POST", "/orders", body)).json()["id"])

    async def pay(self, order_id: str, card: str, expected: str = "") -> None:
        """Try a card until payment_svc has taken it up; `expected` is what the attempt has to come to."""
        body = {"order_id": order_id, "payment_method": card}
        key = str(uuid4())
        answer = await self._send("payment", "POST", "/payments", body, key)
        while answer.status in LATER:
            await asyncio.sleep(AGAIN_SECONDS)
            answer = await self._send("payment", "POST", "/payments", body, key)
        status = _expected(answer, 201, "POST /payments").json()["status"]
        if expected and status != expected:
            raise UnexpectedAnswerError(f"a payment with {card} is {status}")

    async def cancel(self, order_id: str) -> None:
        await self._ask(200, "order", "POST", f"/orders/{order_id}/cancel", what="/orders/{id}/cancel")

    async def until(self, order_id: str, *wanted: str) -> None:
        """Wait by long polls until the order has one of these statuses."""
        target = f"/orders/{order_id}?wait=20&until={wanted[0]}"
        while True:
            status = (await self._ask(200, "order", "GET", target, what="/orders/{id}")).json()["status"]
            if status in wanted:
                return
            if status in OVER - {"refunding"}:
                raise UnexpectedAnswerError(f"an order became {status} instead of {wanted[0]}")

    async def follow(self, order_id: str) -> None:
        """Read the order's events until it is paid, and hang up in the middle of the stream."""
        async with Connection(self._urls["order"]) as connection:
            reader, writer = await connection.open()
            head = [f"GET /orders/{order_id}/events HTTP/1.1", "Host: 127.0.0.1"]
            head += [f"{name}: {value}" for name, value in self._headers.items()]
            writer.write("\r\n".join([*head, "", ""]).encode())
            await reader.readuntil(b'"status":"paid"')

    async def leave(self) -> None:
        """Log out and hang up."""
        if self._headers:
            await self._ask(204, "auth", "POST", "/auth/logout")
        await self.close()

    async def close(self) -> None:
        for connection in self._connections.values():
            await connection.close()

    async def _ask_at_the_door(self, status: int, target: str, body: dict[str, Any], tally: Tally) -> Answer:
        """As often as it takes: when many passwords wait to be hashed, auth_svc says that it is busy."""
        answer = await self._send("auth", "POST", target, body, str(uuid4()))
        while answer.status == 503:
            tally.done["asked to come again"] += 1
            await asyncio.sleep(AGAIN_SECONDS)
            answer = await self._send("auth", "POST", target, body, str(uuid4()))
        return _expected(answer, status, f"POST {target}")

    async def _ask(
        self, status: int, service: str, method: str, target: str, body: dict[str, Any] | None = None, *, what: str = ""
    ) -> Answer:
        answer = await self._send(service, method, target, body, str(uuid4()))
        return _expected(answer, status, f"{method} {what or target.partition('?')[0]}")

    async def _send(self, service: str, method: str, target: str, body: dict[str, Any] | None, key: str) -> Answer:
        headers = {**self._headers, "Idempotency-Key": key} if method == "POST" else self._headers
        return await self._connections[service].request(method, target, headers, body)


def _expected(answer: Answer, status: int, what: str) -> Answer:
    if answer.status != status:
        try:
            problem = str(answer.json()["type"]).rpartition("/")[2]
        except (ValueError, KeyError, TypeError):
            problem = ""
        raise UnexpectedAnswerError(f"{what} answered {answer.status} {problem}".rstrip())
    return answer


class Crowd:
    """Lets people come at a pace; `tally` is the current window's, begun anew by `next_window`."""

    def __init__(self, urls: Mapping[str, str], skus: Sequence[str], seed: int = 7) -> None:
        self._urls = urls
        self._skus = skus
        self._random = random.Random(seed)  # noqa: S311 - who wants what; a seed makes runs alike
        self._wishes = chain(WISHES, self._more_wishes())  # each once at first, that also a short run has tried all
        self._idle: list[Visitor] = []
        self._under_way = 0
        self.tally = Tally()
        self.visit_orders = VISIT_ORDERS

    def next_window(self) -> Tally:
        """The window that ends now."""
        ended, self.tally = self.tally, Tally()
        return ended

    async def keep_coming(self, rate: float, seconds: float) -> None:
        """`rate` orders a second for so long; returns when all of them have ended."""
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as visits:
            for number in range(round(rate * seconds)):
                due_at = begun + number / rate
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                if self._under_way >= MAX_UNDER_WAY:
                    self.tally.errors[f"not begun: {MAX_UNDER_WAY} orders were under way"] += 1
                    continue
                visits.create_task(self._visit(next(self._wishes), self._random.choice(self._skus), due_at))

    async def go_home(self) -> None:
        """Whoever is still about leaves."""
        for visitor in self._idle:
            await visitor.leave()
        self._idle.clear()

    def _more_wishes(self) -> Iterator[str]:
        while True:
            yield from self._random.choices(list(WISHES), list(WISHES.values()))

    async def _visit(self, wish: str, sku: str, due_at: float) -> None:
        visitor = self._idle.pop() if self._idle else Visitor(self._urls)
        self._under_way += 1
        order_id = ""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await visitor.enter(self.tally)
                if wish == "pay after a wrong password":
                    await visitor.mistype()
                order_id = await visitor.place(sku)
                self.tally.placed.append(time.perf_counter() - due_at)
                await self._see_through(visitor, order_id, wish, due_at)
                self.tally.done[wish] += 1
                await visitor.look_around(sku, self.tally)
                visitor.orders += 1
                if visitor.orders >= self.visit_orders:
                    await visitor.leave()
                    self.tally.done["logged out"] += 1
                else:
                    self._idle.append(visitor)
        except (UnexpectedAnswerError, OSError, EOFError, TimeoutError) as error:
            self.tally.errors[str(error) or f"{wish}: {type(error).__name__}"] += 1
            await self._give_up(visitor, order_id)
        finally:
            self._under_way -= 1

    async def _see_through(self, visitor: Visitor, order_id: str, wish: str, due_at: float) -> None:
        await visitor.until(order_id, "awaiting_payment")
        if wish == "cancel before paying":
            await visitor.cancel(order_id)
            await visitor.until(order_id, "cancelled")
            return
        if wish == "pay after a refused card":
            await visitor.pay(order_id, "pm_card_chargeDeclined", "declined")
        await visitor.pay(order_id, "pm_card_visa")
        if wish == "pay, following the events":
            await visitor.follow(order_id)
        else:
            await visitor.until(order_id, "paid")
        self.tally.paid.append(time.perf_counter() - due_at)
        if wish == "cancel after paying":
            await visitor.cancel(order_id)
            await visitor.until(order_id, "refunded")

    async def _give_up(self, visitor: Visitor, order_id: str) -> None:
        """Cancel what was begun, as well as it goes (it has a deadline of its own), and hang up."""
        await visitor.close()
        with suppress(UnexpectedAnswerError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                if order_id:
                    await visitor.cancel(order_id)
        await visitor.close()
