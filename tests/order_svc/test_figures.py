"""What order_svc tells of its orders in its metrics, read from its own store."""

from uuid import uuid4

from chassis.telemetry import Metrics
from tests.order_svc.builders import a_product, authorized, captured, place, reserved
from tests.support.harness import Harness


async def series(orders: Harness) -> dict[str, float]:
    text = (await Metrics().exposition(orders.app.state.runtime)).decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("orders_under_way"))
    return {name: float(value) for name, _, value in lines}


async def test_orders_under_way_are_counted_and_aged_by_status(orders: Harness) -> None:
    await orders.send(a_product())
    empty = await series(orders)
    assert set(empty.values()) == {0.0}
    assert len(empty) == 8

    first = await place(orders, uuid4())
    await place(orders, uuid4())
    await orders.send(reserved(first))
    found = await series(orders)
    assert found['orders_under_way{status="pending"}'] == 1
    assert found['orders_under_way{status="awaiting_payment"}'] == 1
    assert found['orders_under_way_oldest_age_seconds{status="awaiting_payment"}'] > 0

    payment_id = uuid4()
    await orders.send(authorized(first, payment_id))
    await orders.send(captured(first, payment_id))
    assert (await series(orders))['orders_under_way{status="awaiting_payment"}'] == 0
