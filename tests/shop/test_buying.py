"""An order's ways through the whole shop, by HTTP and with real tokens; the audit at the end of each."""

import asyncio

import pytest

from tests.shop.shop import CAPTURE_FAILS, NEEDS_ACTION, NO_MONEY, Shop, open_shop
from tests.shop.stores import Urls

pytestmark = pytest.mark.exhaustive


async def test_from_placed_to_paid_and_sent(shop: Shop) -> None:
    await shop.stock(MOBY=5, EMMA=2)
    anne = await shop.register("anne")
    order_id = await anne.buy(MOBY=2, EMMA=1)

    order = await anne.order(order_id)
    [payment] = await anne.payments(order_id)
    assert order["total"] == payment["captured"] == {"amount": 3597, "currency": "EUR"}
    assert payment["status"] == "captured"
    await shop.settled()
    assert [envelope.type.rpartition(".")[0] for envelope in shop.events(order_id)][:4] == [
        "order.placed",
        "stock.reserved",
        "order.payment_requested",
        "payment.authorized",
    ]
    assert shop.types(order_id) >= {"order.confirmed", "stock.committed", "payment.captured", "order.paid"}
    sent = await (await shop.operator()).post(f"/orders/{order_id}/fulfil")
    assert sent.json()["status"] == "fulfilled"
    assert await shop.shelf() == {"MOBY": (3, 0, 2), "EMMA": (1, 0, 1)}
    await shop.audit()


async def test_one_short_title_and_nothing_is_held(shop: Shop) -> None:
    await shop.stock(MOBY=5, EMMA=2)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=2, EMMA=3)

    order = await anne.until(order_id, "rejected")
    assert order["status_reason"] == "out_of_stock"
    assert await anne.payments(order_id) == []
    assert await shop.shelf() == {"MOBY": (5, 0, 0), "EMMA": (2, 0, 0)}
    await shop.audit()
    assert shop.types(order_id) == {"order.placed", "stock.rejected", "order.rejected"}


async def test_a_declined_card_and_then_a_good_one(shop: Shop) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")

    declined = await anne.pay(order_id, NO_MONEY)
    assert (declined["status"], declined["decline_code"]) == ("declined", "insufficient_funds")
    await shop.settled()
    assert (await anne.order(order_id))["status"] == "awaiting_payment"

    await anne.pay(order_id)
    await anne.until(order_id, "paid")
    assert [payment["status"] for payment in await anne.payments(order_id)] == ["declined", "captured"]
    await shop.audit()


async def test_cancelled_before_payment(shop: Shop) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=2)
    await anne.until(order_id, "awaiting_payment")
    await shop.settled()
    assert await shop.shelf() == {"MOBY": (3, 2, 0)}

    assert (await anne.cancel(order_id)).json()["status"] == "cancelled"
    await shop.settled()
    assert await shop.shelf() == {"MOBY": (5, 0, 0)}
    refused = await anne.post("/payments", {"order_id": order_id, "payment_method": "pm_card_visa"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/order-not-payable")
    await shop.audit()


async def test_cancelled_after_payment(shop: Shop) -> None:
    """The money goes back, and so do the books."""
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.buy(MOBY=2)

    assert (await anne.cancel(order_id)).json()["status"] == "refunding"
    order = await anne.until(order_id, "refunded")
    assert order["refunded"] == order["total"]
    [payment] = await anne.payments(order_id)
    assert (payment["status"], payment["refunded"]) == ("refunded", order["total"])
    figures = await shop.audit()
    assert await shop.shelf() == {"MOBY": (5, 0, 0)}
    assert figures["payment"]["ledger"]["EUR"]["provider_balance"] == 0


async def test_a_card_that_wants_its_owner_asked(shop: Shop) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")

    payment = await anne.pay(order_id, NEEDS_ACTION)
    assert payment["status"] == "requires_action"
    assert payment["next_action"]
    await shop.settled()
    assert (await anne.order(order_id))["status"] == "awaiting_payment"

    assert (await anne.post(f"/payments/{payment['id']}/confirm")).is_success
    await anne.until(order_id, "paid")
    await shop.audit()


async def test_cancelled_while_the_owner_of_the_card_is_asked(shop: Shop) -> None:
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")
    payment = await anne.pay(order_id, NEEDS_ACTION)

    await anne.cancel(order_id)
    await shop.settled()
    confirmed = await anne.post(f"/payments/{payment['id']}/confirm")
    await shop.audit()
    assert confirmed.json()["status"] == "voided"
    assert (await anne.order(order_id))["status"] == "cancelled"
    assert await shop.shelf() == {"MOBY": (5, 0, 0)}


async def test_a_bank_that_will_not_give_the_money(shop: Shop) -> None:
    """Authorised and confirmed, then the capture fails for good: sold stock comes back, nothing was taken."""
    await shop.stock(MOBY=5)
    anne = await shop.register("anne")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")
    await anne.pay(order_id, CAPTURE_FAILS)

    order = await anne.until(order_id, "cancelled")
    assert order["status_reason"] == "capture_failed"
    await shop.audit()
    assert await shop.shelf() == {"MOBY": (5, 0, 0)}


async def test_two_buyers_one_book(shop: Shop) -> None:
    """Exactly one has it; the other is rejected and never charged."""
    await shop.stock(LAST=1)
    buyers = [await shop.register("anne"), await shop.register("bert")]
    orders = await asyncio.gather(*(buyer.place(LAST=1) for buyer in buyers))
    ends = [
        (await buyer.until(order, "awaiting_payment", "rejected"))["status"]
        for buyer, order in zip(buyers, orders, strict=True)
    ]
    assert sorted(ends) == ["awaiting_payment", "rejected"]
    winner, loser = ends.index("awaiting_payment"), ends.index("rejected")
    await buyers[winner].pay(orders[winner])
    await buyers[winner].until(orders[winner], "paid")
    refused = await buyers[loser].post("/payments", {"order_id": orders[loser], "payment_method": "pm_card_visa"})

    assert refused.status_code == 404
    figures = await shop.audit()
    assert await shop.shelf() == {"LAST": (0, 0, 1)}
    assert figures["payment"]["payments_by_state"] == {"captured": 1}


async def test_an_order_nobody_pays_gives_its_stock_back(shop_urls: Urls) -> None:
    async with open_shop(
        shop_urls, settings={"order": {"payment_timeout_seconds": 0.2, "sweep_seconds": 0.05}}
    ) as shop:
        await shop.stock(MOBY=5)
        anne = await shop.register("anne")
        order_id = await anne.place(MOBY=2)
        order = await anne.until(order_id, "cancelled")
        assert order["status_reason"] == "payment_timeout"
        await shop.audit()
        assert await shop.shelf() == {"MOBY": (5, 0, 0)}


@pytest.mark.parametrize("templates", ["sqlite"], indirect=True)
async def test_nobody_sees_or_pays_anothers_order(shop: Shop) -> None:
    await shop.stock(MOBY=5)
    anne, bert = await shop.register("anne"), await shop.register("bert")
    order_id = await anne.place(MOBY=1)
    await anne.until(order_id, "awaiting_payment")
    await shop.settled()
    for path, method in ((f"/orders/{order_id}", "GET"), (f"/orders/{order_id}/cancel", "POST")):
        assert (await shop.request(method, path, headers=bert.headers)).status_code == 404
    theirs = await bert.post("/payments", {"order_id": order_id, "payment_method": "pm_card_visa"})
    assert theirs.status_code == 404
    assert await bert.payments(order_id) == []
    await shop.audit()
