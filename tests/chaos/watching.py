"""The backlog, once a second: events in each service's outbox and messages in each inbox."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from ops.broker import ManagementError
from ops.config import SERVICES
from tests.chaos.door import Door, NoAnswerError, RefusedError
from tests.chaos.record import Backlog, Record
from tests.chaos.shop import SupervisedShop

EVERY: Final = 1.0
ANSWER_SECONDS: Final = 2.0
_PENDING: Final = re.compile(rb"^outbox_pending(?:\{[^}]*\})? ([0-9.]+)", re.MULTILINE)


class BacklogWatch:
    """Asks the services' metrics and the broker's management API. The broker's counts are up to five seconds old."""

    def __init__(self, shop: SupervisedShop, doors: Mapping[str, Door], record: Record) -> None:
        self._shop = shop
        self._doors = doors
        self._record = record

    async def run(self) -> None:
        """Keep watching until cancelled."""
        while True:
            begun = self._record.watch.now()
            self._record.backlog.append(await self.look())
            await asyncio.sleep(max(0.1, EVERY - (self._record.watch.now() - begun)))  # the cadence of a series

    async def look(self) -> Backlog:
        at = self._record.watch.now()
        inboxes = asyncio.create_task(asyncio.to_thread(self._inboxes))
        outbox = await asyncio.gather(*(self._outbox(service) for service in SERVICES))
        inbox = await inboxes
        return Backlog(at, dict(zip(SERVICES, outbox, strict=True)), inbox)

    async def _outbox(self, service: str) -> int | None:
        try:
            answer = await self._doors[service].ask("GET", "/metrics", {}, seconds=ANSWER_SECONDS)
        except (RefusedError, NoAnswerError):
            return None
        found = _PENDING.search(answer.body)
        return round(float(found[1])) if found else None

    def _inboxes(self) -> dict[str, int] | None:
        try:
            with self._shop.management(ANSWER_SECONDS) as management:
                queues = management.queues(self._shop.vhost.name)
        except ManagementError:
            return None
        wanted = {f"{service}.inbox": service for service in SERVICES}
        return {wanted[q["name"]]: int(q.get("messages_ready", 0)) for q in queues if q["name"] in wanted}
