"""The simulator's webhooks: kept in its books until they are taken, signed, and as late and repeated as it is told."""

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Final
from uuid import uuid4

import httpx

from payment_svc.providers.notice import NOTICE_TYPE
from payment_svc.providers.signatures import HEADER, sign
from payment_svc.providers.simulator.books import Account, Books
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings

AT_ONCE: Final = 16
LOOK_SECONDS: Final = 1.0
SEND_SECONDS: Final = 5.0
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""After the last one it is given up; the books say what happened to whoever asks."""


class Mail:
    """`post` inside a transaction of the books; sent in the background after it."""

    def __init__(
        self,
        books: Books,
        settings: SimulatorSettings,
        faults: FaultSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._books = books
        self._url = settings.webhook_url
        self._secret = settings.webhook_secret.get_secret_value()
        self.faults = faults
        self._dice = random.Random(faults.seed + 1)  # noqa: S311 - repeatable on purpose
        self._transport = transport
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def post(self, *accounts: Account) -> None:
        """Tell the merchant that payments changed; copies have the same id, as a repeated delivery has."""
        for account in accounts if self._url else ():
            self._post(account)

    def _post(self, account: Account) -> None:
        data = {"payment_id": account.payment_id, "amount": account.amount, "currency": account.currency}
        id_ = f"evt_{uuid4().hex}"
        body = json.dumps({"id": id_, "type": NOTICE_TYPE, "data": data})
        for _ in range(self.faults.webhook_copies):
            due = time.time() + self._dice.random() * self.faults.webhook_late_seconds
            self._books.db.execute("INSERT INTO notices VALUES (?, ?, ?, 0)", (id_, body, due))

    def wake(self) -> None:
        self._work.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._deliver(), name="mail")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _deliver(self) -> None:
        async with httpx.AsyncClient(timeout=SEND_SECONDS, trust_env=False, transport=self._transport) as http:
            while True:
                query = "SELECT rowid, body, tries FROM notices WHERE due <= ? ORDER BY due LIMIT ?"
                due = self._books.db.execute(query, (time.time(), AT_ONCE)).fetchall()
                if due:
                    await asyncio.gather(*(self._send(http, *row) for row in due))
                    continue
                self._work.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), self._pause())

    async def _send(self, http: httpx.AsyncClient, row: int, body: str, tries: int) -> None:
        headers = {HEADER: sign(body.encode(), self._secret, int(time.time())), "Content-Type": "application/json"}
        try:
            taken = (await http.post(self._url, content=body.encode(), headers=headers)).is_success
        except httpx.HTTPError:
            taken = False
        if taken or tries >= len(RETRY_SECONDS):
            self._books.db.execute("DELETE FROM notices WHERE rowid = ?", (row,))
        else:
            again = time.time() + RETRY_SECONDS[tries]
            self._books.db.execute("UPDATE notices SET due = ?, tries = tries + 1 WHERE rowid = ?", (again, row))

    def _pause(self) -> float:
        (due,) = self._books.db.execute("SELECT MIN(due) FROM notices").fetchone()
        return LOOK_SECONDS if due is None else min(LOOK_SECONDS, max(0.01, due - time.time()))
