"""The storefront when things are not as they should be: services away, a slow line, two windows, impatient fingers."""

import asyncio

import pytest
from playwright.async_api import Browser, BrowserContext, Route, expect

from tests.edge.fake_shop import FakeShop
from tests.edge.visiting import EMAIL, PASSWORD, Visit, visiting

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


async def test_another_card_takes_the_place_of_one_the_bank_asked_about(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.pay_with("3155")
    await visit.page.get_by_role("button", name="Use another card").click()
    await expect(visit.page.get_by_label("4242")).to_be_focused()
    await visit.pay_with("4242")
    await visit.expect_status("paid")
    assert [payment["status"] for payment in visit.shop.payments.values()] == ["voided", "authorized"]


async def test_two_clicks_on_pay_are_one_charge(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await visit.page.route("**/payments", hold)
    button = visit.page.get_by_role("button", name="Pay €")
    await button.dblclick()
    await expect(button).to_be_disabled()
    await button.dispatch_event("click")
    go_on.set()
    await visit.expect_status("paid")
    assert visit.shop.requests.count("POST /payments") == 1
    assert len(visit.shop.payments) == 1


async def test_two_windows_share_basket_order_and_session(
    visit: Visit, window: BrowserContext, url: str, shop: FakeShop
) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    async with visiting(window, url, shop) as other:
        [order_id] = shop.orders
        await other.open(f"/my/orders/{order_id}")
        await other.expect_status("awaiting_payment")
        await visit.pay_with("4242")
        await other.expect_status("paid")
        await other.put_in_basket("BK-0002")
        await expect(visit.page.locator("#basket-count")).to_have_text("1")
        await visit.page.get_by_role("button", name="Sign out").click()
        await expect(other.page.get_by_role("link", name="Sign in")).to_be_visible()


async def test_going_back_neither_orders_again_nor_shows_what_is_gone(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    await visit.page.go_back()
    await expect(visit.page.get_by_text("Your basket is empty.")).to_be_visible()
    await visit.page.go_forward()
    await visit.expect_status("awaiting_payment")
    assert len(visit.shop.orders) == 1


async def test_on_a_slow_line_something_is_there_and_a_late_answer_changes_no_other_page(visit: Visit) -> None:
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await visit.page.route("**/catalog/products?*", hold)
    await visit.open("/")
    await expect(visit.page.get_by_role("heading", name="All books")).to_be_visible()
    await expect(visit.page.locator(".card.placeholder")).to_have_count(12)
    await visit.page.get_by_role("link", name="Basket").click()
    go_on.set()
    await expect(visit.page.get_by_text("Your basket is empty.")).to_be_visible()
    await visit.page.get_by_role("link", name="Orderflow").click()
    await expect(visit.page.locator(".card-title")).to_have_count(24)
    await expect(visit.page.locator(".placeholder")).to_have_count(0)


async def test_without_accounts_one_can_browse(visit: Visit) -> None:
    visit.shop.down.add("auth")
    await visit.open("/sign-in")
    await visit.page.get_by_label("E-mail").fill(EMAIL)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.get_by_role("button", name="Sign in").click()
    alert = visit.page.get_by_role("alert")
    await expect(alert).to_contain_text("The account service is not answering right now.")
    await expect(alert).to_contain_text("You can go on browsing")
    await visit.put_in_basket("BK-0001")


async def test_without_orders_the_basket_is_kept_and_the_list_says_so(visit: Visit) -> None:
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    visit.shop.down.add("orders")
    await visit.open("/my/orders")
    alert = visit.page.get_by_role("alert")
    await expect(alert).to_contain_text("Your basket is kept and you can go on browsing.")
    visit.shop.down.clear()
    await alert.get_by_role("button", name="Try again").click()
    await expect(visit.page.get_by_text("You have not ordered anything yet.")).to_be_visible()
    await expect(visit.page.locator("#basket-count")).to_have_text("1")


async def test_without_payments_the_books_stay_held(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    visit.shop.down.add("payments")
    await visit.pay_with("4242")
    await expect(visit.page.get_by_role("alert")).to_contain_text("The books stay held until the time above.")
    visit.shop.down.clear()
    await visit.page.get_by_role("button", name="Pay €").click()
    await visit.expect_status("paid")
    assert len(visit.shop.payments) == 1


async def test_money_that_came_back_is_shown(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    await visit.pay_with("4242")
    await visit.expect_status("paid")
    await visit.page.get_by_role("button", name="Cancel and refund").click()
    await visit.page.get_by_role("button", name="Really cancel and refund?").click()
    await visit.expect_status("refunding")
    [order] = visit.shop.orders.values()
    order["refunded"] = order["total"]
    visit.shop.move(order["id"], "refunded")
    await visit.expect_status("refunded")
    await expect(visit.page.get_by_text("€11.90 went back to your card.")).to_be_visible()


async def test_keys_alone_order_and_pay(visit: Visit) -> None:
    page, press = visit.page, visit.page.keyboard.press
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    await visit.open("/basket")
    await page.get_by_role("button", name="Place order").focus()
    await press("Enter")
    await visit.expect_status("awaiting_payment")
    await expect(page.get_by_role("heading", name="Order ")).to_be_focused()
    await press("Tab")
    await expect(page.get_by_label("4242")).to_be_focused()
    await press("ArrowDown")
    await expect(page.get_by_label("3155")).to_be_checked()
    await press("Tab")
    await expect(page.get_by_role("button", name="Pay €")).to_be_focused()
    await press("Enter")
    await expect(page.get_by_role("button", name="Yes, it is me")).to_be_focused()
    await press("Enter")
    await visit.expect_status("paid")


async def test_a_phone_and_a_thumb_are_enough(browser: Browser, url: str, shop: FakeShop) -> None:
    phone = await browser.new_context(
        locale="en-GB", viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    phone.set_default_timeout(15_000)
    async with visiting(phone, url, shop) as visit:
        await visit.sign_in()
        await visit.open("/book/BK-0001")
        await visit.page.get_by_role("button", name="Add to basket").tap()
        await visit.page.get_by_role("link", name="Go to the basket").tap()
        await visit.page.get_by_role("button", name="Place order").tap()
        await visit.expect_status("awaiting_payment")
        await visit.page.get_by_role("button", name="Pay €").tap()
        await visit.expect_status("paid")
    await phone.close()
