"""The shop in a real browser: the journey, and what must hold on the way."""

import pytest
from playwright.async_api import expect

from tests.edge.visiting import EMAIL, PASSWORD, Visit
from tests.support.waiting import wait_until

# One browser for all, and it lives in one loop.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


async def test_from_the_shelf_to_a_sent_order(visit: Visit) -> None:
    page = visit.page
    await visit.open("/")
    await expect(page.locator(".card-title")).to_have_count(24)
    await page.get_by_role("button", name="Show more books").click()
    await expect(page.locator(".card-title")).to_have_count(48)

    await page.get_by_label("Search by title or author").fill("whale")
    await expect(page.get_by_text("No book matches")).to_be_visible()
    await page.get_by_label("Search by title or author").fill("moby")
    await page.get_by_role("link", name="Moby-Dick").click()
    await expect(page.get_by_role("heading", name="Moby-Dick")).to_be_focused()
    await page.get_by_label("Copies").select_option("2")
    await page.get_by_role("button", name="Add to basket").click()
    await page.get_by_role("link", name="Go to the basket").click()
    await expect(page.locator("#basket-total")).to_have_text("€29.80")

    await page.get_by_role("button", name="Sign in to order").click()
    await page.get_by_role("link", name="Open an account").click()
    await page.get_by_label("Name").fill("Ada")
    await page.get_by_label("E-mail").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Open account").click()
    await page.get_by_role("button", name="Place order").click()

    await visit.expect_status("awaiting_payment")
    await visit.pay_with("4242")
    await visit.expect_status("paid")
    [order_id] = visit.shop.orders
    visit.shop.move(order_id, "fulfilled")
    await visit.expect_status("fulfilled")
    await expect(page.locator(".timeline li")).to_have_count(5)  # the status may be known before the entry has come
    notes = await page.locator(".step-note").all_inner_texts()
    assert [note.split(" · ")[1] for note in notes] == ["order", "catalog", "payment", "payment", "order"]

    await page.get_by_role("link", name="Orders").click()
    await expect(page.locator(".order-row .badge")).to_have_text("Sent")
    await expect(page.locator("#basket-count")).to_be_hidden()
    assert visit.complaints == []


async def test_a_declined_card_leaves_the_order_payable(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.pay_with("9995")
    await expect(visit.page.get_by_text("There is not enough money on the card.")).to_be_visible()
    await visit.pay_with("3155")
    await visit.page.get_by_role("button", name="Yes, it is me").click()
    await visit.expect_status("paid")
    assert [payment["status"] for payment in visit.shop.payments.values()] == ["declined", "authorized"]


async def test_a_banks_question_survives_a_reload(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.pay_with("3155")
    await expect(visit.page.get_by_text("Your bank asks")).to_be_visible()
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Yes, it is me").click()
    await visit.expect_status("paid")


async def test_a_reload_keeps_basket_and_session_but_no_token_in_storage(visit: Visit) -> None:
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    await visit.page.reload()
    await visit.open("/my/orders")
    await expect(visit.page.get_by_text("You have not ordered anything yet.")).to_be_visible()
    await expect(visit.page.locator("#basket-count")).to_have_text("1")
    stored = await visit.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert not [secret for secret in (*visit.shop.tokens, *visit.shop.cookies) if secret in stored]


async def test_a_session_that_ended_leads_to_the_door_and_back(visit: Visit) -> None:
    await visit.sign_in()
    visit.shop.tokens.clear()
    visit.shop.cookies.clear()
    await visit.open("/my/orders")
    await visit.page.get_by_label("E-mail").fill(EMAIL)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.get_by_role("button", name="Sign in").click()
    await expect(visit.page.get_by_text("You have not ordered anything yet.")).to_be_visible()


async def test_signing_out_ends_the_session(visit: Visit) -> None:
    await visit.sign_in()
    await visit.page.get_by_role("button", name="Sign out").click()
    await expect(visit.page.get_by_role("link", name="Sign in")).to_be_visible()
    assert visit.shop.cookies == {}
    await visit.open("/my/orders")
    await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_lost_answer_never_makes_a_second_order(visit: Visit) -> None:
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    await visit.open("/basket")
    visit.shop.lose_answers = 1
    await visit.page.get_by_role("button", name="Place order").click()
    await expect(visit.page.get_by_text("The order service is not answering right now.")).to_be_visible()
    await visit.page.get_by_role("button", name="Place order").click()
    await expect(visit.page.get_by_role("heading", name="Order ")).to_be_visible()
    assert len(visit.shop.orders) == 1


async def test_a_lost_answer_never_makes_a_second_payment(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    visit.shop.lose_answers = 1
    await visit.pay_with("3155")
    await expect(visit.page.get_by_text("The payment service is not answering right now.")).to_be_visible()
    await visit.page.get_by_role("button", name="Pay €").click()
    await expect(visit.page.get_by_text("Your bank asks")).to_be_visible()
    assert len(visit.shop.payments) == 1


async def test_a_changed_price_is_shown_before_anything_is_ordered(visit: Visit) -> None:
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    async with visit.page.expect_response("**/catalog/products/BK-0001"):
        await visit.open("/basket")
    await expect(visit.page.locator("#basket-total")).to_have_text("€11.90")
    visit.shop.products["BK-0001"]["price"]["amount"] = 1290
    await visit.page.get_by_role("button", name="Place order").click()
    await expect(visit.page.get_by_text("A price changed since you filled the basket.")).to_be_visible()
    await expect(visit.page.locator("#basket-total")).to_have_text("€12.90")
    assert visit.shop.orders == {}
    await visit.page.get_by_role("button", name="Place order").click()
    await expect(visit.page.get_by_role("heading", name="Order ")).to_be_visible()


async def test_a_catalogue_that_is_down_says_what_still_works(visit: Visit) -> None:
    visit.shop.down.add("catalog")
    await visit.open("/")
    await expect(visit.page.get_by_role("alert")).to_contain_text("The catalogue service is not answering right now.")
    await expect(visit.page.get_by_role("alert")).to_contain_text("Your basket is kept")
    visit.shop.down.clear()
    await visit.page.get_by_role("button", name="Try again").click()
    await expect(visit.page.locator(".card-title")).to_have_count(24)
    await expect(
        visit.page.get_by_role("navigation", name="Categories").get_by_role("link", name="Gothic")
    ).to_be_visible()


async def test_an_order_moves_without_streams_too(visit: Visit) -> None:
    visit.shop.streams = False
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    await visit.pay_with("4242")
    await visit.expect_status("paid")
    [order_id] = visit.shop.orders
    visit.shop.move(order_id, "fulfilled")
    await visit.expect_status("fulfilled")
    await expect(visit.page.locator(".timeline li")).to_have_count(5)


async def test_a_stream_that_breaks_is_taken_up_where_it_was(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    [order_id] = visit.shop.orders
    await expect(visit.page.locator(".link-state.live")).to_be_visible()
    visit.shop.cut_streams()
    await wait_until(lambda: visit.shop.requests.count(f"GET /orders/{order_id}/events") == 2)
    await visit.pay_with("4242")
    await visit.expect_status("paid")
    await expect(visit.page.locator(".timeline li")).to_have_count(4)
    texts = await visit.page.locator(".timeline .entry-words").all_inner_texts()
    assert len(set(texts)) == 4


async def test_an_order_that_moves_while_its_page_loads_is_shown_as_it_is(visit: Visit) -> None:
    visit.shop.hold_stock = False
    await visit.order("BK-0001")
    [order_id] = visit.shop.orders
    stale = visit.shop.orders[order_id] | {"lines": list(visit.shop.orders[order_id]["lines"])}
    await visit.open("/")
    visit.shop.move(order_id, "awaiting_payment")
    await visit.page.route(f"{visit.url}/orders/{order_id}", lambda route: route.fulfill(json=stale), times=1)
    await visit.open(f"/my/orders/{order_id}")
    await visit.expect_status("awaiting_payment")


async def test_leaving_the_order_stops_following_it(visit: Visit) -> None:
    await visit.order("BK-0001")
    await expect(visit.page.locator(".link-state.live")).to_be_visible()
    assert visit.shop.open_streams == 1
    await visit.page.get_by_role("link", name="Orderflow").click()
    await expect(visit.page.locator(".card-title")).to_have_count(24)
    await wait_until(lambda: visit.shop.open_streams == 0)


async def test_cancelling_asks_once_more(visit: Visit) -> None:
    await visit.order("BK-0001")
    await visit.expect_status("awaiting_payment")
    await visit.page.get_by_role("button", name="Cancel this order").click()
    assert next(iter(visit.shop.orders.values()))["status"] == "awaiting_payment"
    await visit.page.get_by_role("button", name="Really cancel this order?").click()
    await visit.expect_status("cancelled")
    await expect(visit.page.get_by_role("button", name="Pay €")).to_have_count(0)
    await expect(visit.page.locator(".step.ended")).to_contain_text("Cancelled")


async def test_going_elsewhere_drops_a_search_half_typed(visit: Visit) -> None:
    await visit.open("/")
    link = visit.page.get_by_role("link", name="A Christmas Carol")
    await expect(link).to_be_visible()
    await visit.page.clock.install(time="2030-01-01T10:00:00Z")
    await visit.page.clock.pause_at("2030-01-01T11:00:00Z")  # or a slow machine would let the pause go by
    await visit.page.get_by_label("Search by title or author").fill("moby")
    await link.click()
    await expect(visit.page.get_by_role("heading", name="A Christmas Carol")).to_be_visible()
    await visit.page.clock.run_for(1000)
    await expect(visit.page.get_by_role("heading", name="A Christmas Carol")).to_be_visible()
    assert "moby" not in visit.page.url


async def test_filters_live_in_the_address_and_back_undoes_them(visit: Visit) -> None:
    page = visit.page
    await visit.open("/")
    await page.get_by_role("link", name="Science Fiction").click()
    await expect(page.locator(".card-title")).to_have_count(13)
    await page.get_by_label("Sort by").select_option("Price, lowest first")
    await expect(page.locator(".card-title").first).to_have_text("Flatland")
    await page.get_by_label("In stock only").check()
    await expect(page.get_by_label("In stock only")).to_be_focused()
    await expect(page).to_have_url(f"{visit.url}/?category=Science+Fiction&sort=price&in_stock=true")
    await page.reload()
    await expect(page.get_by_label("In stock only")).to_be_checked()
    await page.go_back()
    await expect(page.get_by_role("heading", name="All books")).to_be_visible()


async def test_what_the_api_says_is_text_never_markup(visit: Visit) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    visit.shop.products["BK-0001"].update(title=evil, author=evil, description=evil)
    await visit.open("/book/BK-0001")
    await expect(visit.page.get_by_role("heading", name="<img src=x")).to_be_visible()
    assert await visit.page.locator("main img, main script").count() == 0


async def test_a_return_address_elsewhere_is_ignored(visit: Visit) -> None:
    visit.shop.users[EMAIL] = PASSWORD
    await visit.open("/sign-in?next=//evil.example/")
    await visit.page.get_by_label("E-mail").fill(EMAIL)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.get_by_role("button", name="Sign in").click()
    await expect(visit.page.get_by_role("heading", name="All books")).to_be_visible()
    await expect(visit.page).to_have_url(f"{visit.url}/")


async def test_refused_fields_are_marked_where_they_are(visit: Visit) -> None:
    await visit.open("/register")
    await visit.page.evaluate("document.querySelector('form.account').noValidate = true")
    await visit.page.get_by_label("Password").fill("short")
    await visit.page.get_by_role("button", name="Open account").click()
    field = visit.page.get_by_label("Password")
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description("Use at least 12 characters")


async def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit.page
    await visit.open("/book/BK-0001")
    await expect(page.get_by_role("heading", name="Pride and Prejudice")).to_be_focused()
    for _ in range(3):  # author, copies, button
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Add to basket")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Basket")).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_nothing_sticks_out_and_nothing_jumps(visit: Visit, width: int) -> None:
    page = visit.page
    await page.set_viewport_size({"width": width, "height": 800})
    await page.add_init_script(
        "window.jumps = []; new PerformanceObserver(list => jumps.push(...list.getEntries().map(e => e.value)))"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    await visit.order("BK-0112")
    await visit.expect_status("awaiting_payment")
    for path in ("/", "/book/BK-0112", "/basket", "/my/orders", "/sign-in", "/register"):
        await visit.open(path)
        await expect(page.locator("h1")).to_be_visible()
        await expect(page.locator(".placeholder")).to_have_count(0)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert await page.evaluate("jumps.reduce((sum, value) => sum + value, 0)") < 0.05, path
