"""What customers live through, over four real processes and a real broker. Each ends with stock and money adding up."""

import asyncio

import pytest

from tests.e2e.client import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit]


async def test_from_registering_to_paid(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=5, amount=1999)
    order_id = await shop.place(customer, sku, quantity=2)
    await shop.reaches(customer, order_id, "awaiting_payment")
    payment = await shop.pay(customer, order_id)
    assert payment["status"] in {"authorized", "captured"}
    order = await shop.reaches(customer, order_id, "paid")
    assert order["total"] == {"amount": 3998, "currency": "EUR"}
    await shop.adds_up()
    assert await shop.available(sku) == 3


async def test_no_stock(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1)
    order_id = await shop.place(customer, sku, quantity=2)
    order = await shop.reaches(customer, order_id, "rejected")
    assert order["status_reason"] == "out_of_stock"
    assert await shop.available(sku) == 1
    await shop.adds_up()


async def test_declined_then_paid(shop: Shop) -> None:
    customer = await shop.customer()
    order_id = await shop.place(customer, await shop.product(stock=1))
    await shop.reaches(customer, order_id, "awaiting_payment")
    declined = await shop.pay(customer, order_id, "pm_card_insufficientFunds")
    assert (declined["status"], declined["decline_code"]) == ("declined", "insufficient_funds")
    await shop.pay(customer, order_id)
    await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def test_extra_authentication(shop: Shop) -> None:
    customer = await shop.customer()
    order_id = await shop.place(customer, await shop.product(stock=1))
    await shop.reaches(customer, order_id, "awaiting_payment")
    payment = await shop.pay(customer, order_id, "pm_card_authenticationRequired")
    assert payment["status"] == "requires_action"
    confirmed = await shop.call("payment", "POST", f"/payments/{payment['id']}/confirm", headers=customer.headers)
    assert confirmed.status_code == 200, confirmed.text
    await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()


async def test_cancelled_before_payment(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1)
    order_id = await shop.place(customer, sku)
    await shop.reaches(customer, order_id, "awaiting_payment")
    assert (await shop.cancel(customer, order_id)).json()["status"] == "cancelled"
    await shop.adds_up()
    assert await shop.available(sku) == 1


async def test_cancelled_after_payment_gives_money_and_stock_back(shop: Shop) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=1)
    order_id = await shop.buy(customer, sku)
    assert await shop.available(sku) == 0
    assert (await shop.cancel(customer, order_id)).json()["status"] in {"refunding", "refunded"}
    order = await shop.reaches(customer, order_id, "refunded")
    assert order["refunded"] == order["total"]
    await shop.adds_up()
    assert await shop.available(sku) == 1


async def test_an_unpaid_order_expires(hasty_shop: Shop) -> None:
    customer = await hasty_shop.customer()
    sku = await hasty_shop.product(stock=1)
    order_id = await hasty_shop.place(customer, sku)
    order = await hasty_shop.reaches(customer, order_id, "cancelled")
    assert order["status_reason"] == "payment_timeout"
    await hasty_shop.adds_up()
    assert await hasty_shop.available(sku) == 1


async def test_two_buyers_one_book(shop: Shop) -> None:
    sku = await shop.product(stock=1)
    buyers = await asyncio.gather(shop.customer(), shop.customer())
    orders = await asyncio.gather(*(shop.place(buyer, sku) for buyer in buyers))
    ends = await asyncio.gather(
        *(shop.reaches(b, o, "awaiting_payment", "rejected") for b, o in zip(buyers, orders, strict=True))
    )
    assert sorted(end["status"] for end in ends) == ["awaiting_payment", "rejected"]
    winner = next(index for index, end in enumerate(ends) if end["status"] == "awaiting_payment")
    await shop.pay(buyers[winner], orders[winner])
    await shop.reaches(buyers[winner], orders[winner], "paid")
    await shop.adds_up()


async def test_paying_twenty_times_at_once_charges_once(shop: Shop) -> None:
    customer = await shop.customer()
    order_id = await shop.place(customer, await shop.product(stock=1))
    await shop.reaches(customer, order_id, "awaiting_payment")
    await shop.pay(customer, order_id, "pm_card_chargeDeclined")  # payment_svc knows the order now
    answers = await asyncio.gather(
        *(
            shop.call(
                "payment",
                "POST",
                "/payments",
                json={"order_id": order_id, "payment_method": "pm_card_visa"},
                headers={**customer.headers, "Idempotency-Key": f"pay-{order_id}-{number % 4}"},
            )
            for number in range(20)
        )
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    await shop.reaches(customer, order_id, "paid")
    await shop.adds_up()
