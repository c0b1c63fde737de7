"""How a service is, asked by an operator: queues, outbox, readiness; and the orders that do not move."""

import tomllib
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from chassis.operations import VERSION
from chassis.unit_of_work import UnitOfWork
from order_svc.domain.order import OrderStatus
from order_svc.store import orders, timeline
from tests.operators.conftest import Desk

OPERATIONS = "/orders/operations"


async def test_a_service_tells_what_waits_in_its_queues_and_outbox(desk: Desk) -> None:
    desk.bury(b"not an event")
    answer = await desk.service.http.get(OPERATIONS, headers=desk.headers)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["service"], told["version"], told["failing"]) == ("order", VERSION, {})
    assert told["outbox"] == {"pending": 0, "parked": 0, "oldest_pending_at": None}
    queues = {queue["queue"]: (queue["ready"], queue["consumers"]) for queue in told["queues"]}
    assert (queues["order.inbox"], queues["order.dead"]) == ((0, 1), (1, 0))
    assert "shop.retry.10m" in queues


async def test_without_a_broker_it_says_so(desk: Desk) -> None:
    desk.service.broker.disconnect()
    told = (await desk.service.http.get(OPERATIONS, headers=desk.headers)).json()
    assert (told["queues"], told["broker_error"]) == (None, "not connected")
    assert "broker" in told["failing"]


async def test_orders_that_do_not_move_are_counted_by_state_and_age_without_a_word_about_whose(desk: Desk) -> None:
    now = desk.service.clock.now()
    old, young, ended = uuid4(), uuid4(), uuid4()

    async def write(_: None, uow: UnitOfWork) -> None:
        for id, status, age in ((young, "pending", 10), (old, "pending", 500), (ended, "cancelled", 900)):
            await uow.execute(sa.insert(orders).values(**an_order(id, status)))
            at = now - timedelta(seconds=age)
            entry = {"order_id": id, "seq": 1, "at": at, "service": "order", "event": "order.placed"}
            await uow.execute(sa.insert(timeline).values(**entry, status=status, text="placed"))

    def an_order(id: object, status: str) -> dict[str, object]:
        given = {"id": id, "user_id": uuid4(), "status": status, "placed_at": now, "currency": "EUR", "lines": []}
        return given | {c.name: 0 for c in orders.c if not c.nullable and c.name not in given}

    await desk.service.runtime.writer.execute(write, None)
    answer = await desk.service.http.get(f"{OPERATIONS}/unfinished", headers=desk.headers)
    assert answer.status_code == 200, answer.text
    [state] = answer.json()["states"]
    assert (state["status"], state["count"]) == (OrderStatus.PENDING, 2)
    assert [order["id"] for order in answer.json()["oldest"]] == [str(old), str(young)]
    assert state["oldest_since"] == answer.json()["oldest"][0]["since"]
    assert "user" not in answer.text


async def test_only_operators_are_told(desk: Desk) -> None:
    for path in (OPERATIONS, f"{OPERATIONS}/unfinished"):
        assert (await desk.service.http.get(path)).status_code == 401
        assert (await desk.service.http.get(path, headers=desk.service.as_user())).status_code == 403


def test_the_version_is_the_released_one() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
