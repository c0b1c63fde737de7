"""order_svc with dead letters in its queue, on a broker in memory and a store of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.topology import DEAD, dead_queue
from chassis.transport import OutgoingMessage
from contracts.catalog import ProductListed
from contracts.envelope import Envelope, encode
from contracts.money import Money
from order_svc.app import build
from order_svc.settings import OrderSettings
from tests.support.harness import Harness, running

LETTERS = "/orders/dead-letters"


@dataclass
class Desk:
    """An operator at order_svc."""

    service: Harness
    headers: dict[str, str]

    async def get(self, path: str = "", **params: Any) -> httpx.Response:
        return await self.service.http.get(f"{LETTERS}{path}", params=params, headers=self.headers)

    async def letters(self, **params: Any) -> list[dict[str, Any]]:
        answer = await self.get(**params)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def post(self, verb: str, **body: Any) -> httpx.Response:
        return await self.service.http.post(f"{LETTERS}/{verb}", json=body, headers=self.headers)

    async def settle(self, verb: str, **body: Any) -> dict[str, str]:
        """What became of each letter."""
        answer = await self.post(verb, **body)
        assert answer.status_code == 200, answer.text
        return {item["id"]: item["outcome"] for item in answer.json()["items"]}

    def bury(self, body: bytes, *, message_id: str | None = None, type: str = "", **headers: str | int) -> str:
        """Put a letter into the dead queue; its id."""
        id = message_id if message_id is not None else str(uuid4())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.service.broker.publish(OutgoingMessage(DEAD, "order", body, id, type=type, headers=named))
        return id

    def bury_event(self, envelope: Envelope, **headers: str | int) -> str:
        return self.bury(encode(envelope), message_id=str(envelope.id), type=envelope.type, **headers)

    async def delivered(self) -> None:
        """Let the delay of what was redriven be over, and wait until it is settled."""
        broker = self.service.broker
        for message in broker.ready("shop.retry.1s"):
            message.expires = self.service.clock.now()
        broker.release_due()
        await self.service.settled()

    def waiting(self) -> list[str]:
        """Ids in the dead queue, in order; nothing is held by anybody."""
        assert self.service.broker.unsettled(dead_queue("order")) == []
        return [letter.outgoing.message_id for letter in self.service.broker.ready(dead_queue("order"))]


@pytest.fixture
async def desk(store_url: str) -> AsyncIterator[Desk]:
    async with running("order_svc", build, OrderSettings(database_url=store_url)) as harness:
        yield Desk(harness, harness.as_operator())


def a_listing(desk: Desk, sku: str = "BOOK-1", *, id: UUID | None = None) -> Envelope:
    """An event order_svc can handle: a product it can take orders for afterwards."""
    event = ProductListed(sku=sku, title="A book", category="Tests", price=Money(amount=900, currency="EUR"), version=1)
    return Envelope(
        id=id or uuid4(),
        source="/catalog",
        type=event.wire_name,
        subject=sku,
        time=desk.service.clock.now(),
        correlationid=uuid4(),
        aggregateversion=1,
        data=event.model_dump(mode="json"),
    )
