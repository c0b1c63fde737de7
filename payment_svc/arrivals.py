"""Payments that are here before their order: one look at the store for all of them, however many wait.

After an outage everybody may pay at the same moment. If each looked for itself, their reads would keep the relay and
the consumer from the store, and so keep away the very events they wait for.
"""

import asyncio
from collections import defaultdict
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from chassis.db import Reader
from chassis.hints import Hints
from payment_svc.tables import payables

LOOK_AGAIN_SECONDS: Final = 0.25
"""For what got lost: of our own commits we hear at once, of those of the service's other processes soon."""

TOPIC: Final = "arrival"

LOOK_AT_ONCE: Final = 500
"""Ids in one statement: both databases allow far more, and a list this long is found in milliseconds."""

_KNOWN = sa.select(payables.c.order_id, payables.c.user_id).where(
    payables.c.order_id.in_(sa.bindparam("order_ids", expanding=True))
)

_Wanted = tuple[UUID, UUID]


class Arrivals:
    """Waits for orders to become known here."""

    def __init__(self, reader: Reader, hints: Hints) -> None:
        self._reader = reader
        self._hints = hints
        hints.on(TOPIC, self._hear)
        self._waiting: defaultdict[_Wanted, list[asyncio.Future[None]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    async def wait_for(self, order_id: UUID, user_id: UUID, seconds: float) -> bool:
        """True as soon as this user's order is known here, False if it is not after `seconds`.

        A client is told by order_svc that it may pay, and may be faster than the event that tells us. Another user's
        order takes as long as one that does not exist.

        Raises:
            Exception: whatever the store does when it cannot be read.
        """
        wanted = (order_id, user_id)
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[wanted].append(known)  # before the look: what arrives while it is under way is heard of
        try:
            if wanted in await self._look([order_id]):
                return True
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._watch(), name="arrivals")
            async with asyncio.timeout(seconds):
                await known
        except TimeoutError:
            return False
        finally:
            self._forget(wanted, known)
        return True

    def heard(self, order_id: UUID, user_id: UUID) -> None:
        """This process has committed the order: whoever waits for it here need not wait for the next look."""
        self._settle((order_id, user_id), None)
        self._hints.tell(TOPIC, f"{order_id} {user_id}")

    def _hear(self, text: str) -> None:
        order_id, user_id = text.split()
        self._settle((UUID(order_id), UUID(user_id)), None)

    async def stop(self) -> None:
        """Look no more; whoever still waits does so until their time is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        """Look again and again for all who wait, until nobody does."""
        while self._waiting:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            orders = list({order_id for order_id, _ in self._waiting})
            try:
                for start in range(0, len(orders), LOOK_AT_ONCE):
                    for wanted in await self._look(orders[start : start + LOOK_AT_ONCE]):
                        self._settle(wanted, None)
            except Exception as error:  # theirs to answer for: each request would have met it by itself
                for wanted in list(self._waiting):
                    self._settle(wanted, error)

    async def _look(self, order_ids: list[UUID]) -> set[_Wanted]:
        rows = await self._reader.by_key(_KNOWN, {"order_ids": order_ids})
        return {(row["order_id"], row["user_id"]) for row in rows}

    def _settle(self, wanted: _Wanted, error: Exception | None) -> None:
        for known in self._waiting.pop(wanted, []):
            if known.done():
                continue
            if error is None:
                known.set_result(None)
            else:
                known.set_exception(error)

    def _forget(self, wanted: _Wanted, known: asyncio.Future[None]) -> None:
        others = [other for other in self._waiting.get(wanted, []) if other is not known]
        if others:
            self._waiting[wanted] = others
        else:
            self._waiting.pop(wanted, None)
