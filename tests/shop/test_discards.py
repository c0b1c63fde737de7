"""An event whose dead letter an operator threw away is missing nowhere: the audit knows that it was discarded."""

import pytest

from chassis.seedwork import DomainError, ErrorKind
from chassis.topology import dead_queue
from contracts.order import OrderPlaced
from order_svc.store import OrderUnitOfWork
from tests.shop.shop import Shop
from tests.support.waiting import wait_until


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
async def test_the_audit_is_clean_after_a_real_event_was_discarded(shop: Shop) -> None:
    operator, reader = await shop.operator(), await shop.register("reader")
    await shop.stock(BOOK=5)

    async def refuse(event: OrderPlaced, uow: OrderUnitOfWork) -> None:
        raise DomainError("not-in-this-shop", ErrorKind.INVALID)

    consumer = shop.runtime("catalog").consumer
    consumer._subscriptions = {**consumer._subscriptions, OrderPlaced: refuse}
    order_id = await reader.place(BOOK=1)
    await wait_until(lambda: len(shop.broker.ready(dead_queue("catalog"))) == 1)
    [letter] = (await operator.get("/catalog/dead-letters"))["items"]
    assert (letter["order_id"], letter["error_message"]) == (order_id, "not-in-this-shop")
    assert (await reader.cancel(order_id)).is_success
    answer = await operator.post("/catalog/dead-letters/discard", {"ids": [letter["id"]], "reason": "a test"})
    assert [item["outcome"] for item in answer.json()["items"]] == ["discarded"]
    figures = await shop.audit()
    assert figures["catalog"]["discarded"] == {"order.placed.v1": [letter["event_id"]]}
