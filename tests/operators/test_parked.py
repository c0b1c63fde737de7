"""Events the broker kept refusing wait, parked, until an operator lets them go."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from chassis.topology import EVENTS
from chassis.unit_of_work import UnitOfWork
from contracts.order import OrderFulfilled
from order_svc.store import RUNTIME
from tests.operators.conftest import Desk
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.relay.PARK_AFTER", 1)


async def park(desk: Desk) -> str:
    """Let the relay give up an event; its id."""

    async def publish(_: None, uow: UnitOfWork) -> None:
        uow.publish(OrderFulfilled(order_id=uuid4()))

    desk.service.broker.faults.refuse = lambda message: "too large" if message.exchange == EVENTS else None
    before = {item["event_id"] for item in (await parked(desk))["items"]}
    await desk.service.runtime.writer.execute(publish, None)
    await wait_until(lambda: given_up(desk, len(before) + 1))
    desk.service.broker.faults.refuse = lambda message: None
    [id] = {item["event_id"] for item in (await parked(desk))["items"]} - before
    return str(id)


async def given_up(desk: Desk, count: int) -> bool:
    return (await desk.service.runtime.relay.status()).parked == count


async def parked(desk: Desk, **params: Any) -> Any:
    answer = await desk.service.http.get("/orders/outbox/parked", params=params, headers=desk.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def unpark(desk: Desk, **body: Any) -> Any:
    answer = await desk.service.http.post("/orders/outbox/unpark", json=body, headers=desk.headers)
    assert answer.status_code == 200, answer.text
    return {item["event_id"]: item["outcome"] for item in answer.json()["items"]}


async def test_a_parked_event_is_listed_with_the_reason_and_goes_out_when_let_go(desk: Desk) -> None:
    id = await park(desk)
    page = await parked(desk)
    [event] = page["items"]
    assert (event["event_id"], event["type"], event["attempts"]) == (id, "order.fulfilled.v1", 1)
    assert (event["last_error"], page["total"]) == ("too large", 1)
    unknown = str(uuid4())
    assert await unpark(desk, ids=[id, unknown]) == {id: "unparked", unknown: "not_found"}
    await desk.service.settled()
    assert [str(envelope.id) for envelope in desk.service.envelopes() if envelope.source == "/order"] == [id]
    row = await desk.service.runtime.reader.first(sa.select(RUNTIME.outbox))
    assert row is not None
    assert row["attempts"] == 1  # counted anew
    assert await unpark(desk, ids=[id]) == {id: "not_found"}
    assert (await parked(desk))["total"] == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_all_of_them_at_once_and_only_by_an_operator(desk: Desk) -> None:
    ids = [await park(desk), await park(desk)]
    for method, path in (("GET", "/orders/outbox/parked"), ("POST", "/orders/outbox/unpark")):
        for headers, status in (({}, 401), (desk.service.as_user(), 403)):
            answer = await desk.service.http.request(method, path, headers=headers, json={"all": True})
            assert answer.status_code == status, (method, path)
    for body in ({}, {"all": False}, {"ids": [], "all": False}, {"ids": [ids[0]], "all": True}, {"ids": ["x"]}):
        answer = await desk.service.http.post("/orders/outbox/unpark", json=body, headers=desk.headers)
        assert answer.status_code == 422, body
    assert len((await parked(desk, limit=1))["items"]) == 1
    assert await unpark(desk, all=True) == dict.fromkeys(ids, "unparked")
    await desk.service.settled()
