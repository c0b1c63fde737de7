"""The catalog listens to what the contract says, through the broker, and answers there."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from catalog_svc.consumers import subscriptions
from catalog_svc.tables import TOKENS
from chassis.auth import TokenVerifier
from chassis.clock import SystemClock
from chassis.token_feed import TokenFeed
from chassis.topology import EVENTS
from chassis.transport import Outcome, OutgoingMessage
from contracts.claims import OPERATOR
from contracts.envelope import Envelope, Event, decode, encode
from contracts.registry import SERVICES
from tests.catalog_svc.conftest import broker_of
from tests.catalog_svc.shop import counts_of, placed, stocked
from tests.support.clocks import ManualClock
from tests.support.tokens import TokenMint
from tests.support.waiting import wait_until


def test_it_reads_exactly_what_the_contract_says(app: FastAPI) -> None:
    feed = TokenFeed(TOKENS, TokenVerifier(SystemClock()), app.state.runtime.reader, SystemClock())
    assert set(subscriptions(feed)) == set(SERVICES["catalog"].reads)


async def test_an_order_from_the_broker_is_answered_there(
    client: httpx.AsyncClient, app: FastAPI, clock: ManualClock
) -> None:
    await stocked(app.state.runtime, A=5)
    order_id = uuid4()
    await publish(app, placed(order_id, {"A": 2}, clock.now() + timedelta(minutes=1)), order_id, clock)

    def answered() -> bool:
        return "stock.reserved.v1" in [message.type for message in broker_of(app).journal]

    await wait_until(answered)
    assert await counts_of(app.state.runtime, "A") == (5, 2, 0)
    [answer] = [decode(m.body) for m in broker_of(app).journal if m.type == "stock.reserved.v1"]
    assert (answer.subject, answer.correlationid) == (str(order_id), order_id)


async def test_a_signing_key_from_the_broker_opens_the_operators_door(
    client: httpx.AsyncClient, app: FastAPI, clock: ManualClock
) -> None:
    mint = TokenMint("a-key-of-its-own")
    headers = mint.headers(roles=(OPERATOR,))
    assert (await client.get("/catalog/audit", headers=headers)).status_code == 401
    await publish(app, mint.published, uuid4(), clock)

    async def opened() -> bool:
        return (await client.get("/catalog/audit", headers=headers)).status_code == 200

    await wait_until(opened)


async def publish(app: FastAPI, event: Event, conversation: UUID, clock: ManualClock) -> None:
    envelope = Envelope(
        id=uuid4(),
        source="/test",
        type=event.wire_name,
        subject=event.subject,
        time=clock.now(),
        correlationid=conversation,
        aggregateversion=1,
        data=event.model_dump(mode="json"),
    )
    message = OutgoingMessage(EVENTS, envelope.type, encode(envelope), str(envelope.id), type=envelope.type)
    assert broker_of(app).publish(message).outcome is Outcome.ACK
