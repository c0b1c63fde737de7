"""The operators' page in a real browser: what it shows, to whom, and what it does only when asked twice."""

import pytest
from playwright.async_api import expect

from ops.audit import Check
from tests.edge.accessibility import violations
from tests.edge.fake_operations import a_letter, an_audit
from tests.edge.visiting import EMAIL, PASSWORD, Visit
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

LETTER = "01a20964-9c20-7daa-9610-c370e0f00399"


async def enter(visit: Visit, *, operator: bool = True) -> None:
    """Sign in at the operators' door."""
    visit.shop.users[EMAIL] = PASSWORD
    if operator:
        visit.shop.operators.add(EMAIL)
    await visit.open("/ops")
    await visit.page.get_by_label("E-mail").fill(EMAIL)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.get_by_role("button", name="Sign in").click()


async def test_an_operator_sees_services_queues_and_orders_and_the_way_to_the_broker(visit: Visit) -> None:
    visit.shop.audited = an_audit()
    await enter(visit)
    page = visit.page
    await expect(page.get_by_text("All services work")).to_be_visible()
    await expect(page.get_by_role("row", name="payment works 0.1.0 0 0")).to_be_visible()
    await expect(page.get_by_role("row", name="order.inbox 0 1")).to_be_visible()
    await expect(page.get_by_role("row", name="shop.retry.10m")).to_have_count(1)
    await expect(page.get_by_role("row", name="Waiting for payment 1 7 min")).to_be_visible()
    await expect(page.get_by_text("There are none.")).to_be_visible()
    await expect(page.get_by_role("link", name="RabbitMQ")).to_have_attribute("href", "http://127.0.0.1:15682")
    await expect(page.get_by_text("Stock, money and messages add up.")).to_be_visible()
    assert visit.complaints == []


async def test_a_customer_is_refused_and_sees_nothing(visit: Visit) -> None:
    await enter(visit, operator=False)
    await expect(visit.page.get_by_role("heading", name="This page is for operators")).to_be_focused()
    assert not [asked for asked in visit.shop.requests if "operations" in asked or "dead-letters" in asked]
    await visit.page.get_by_role("button", name="Sign out").click()
    await expect(visit.page.get_by_label("Password")).to_be_visible()


async def test_a_service_that_does_not_answer_is_named_and_the_rest_is_shown(visit: Visit) -> None:
    await enter(visit)
    await expect(visit.page.get_by_text("All services work")).to_be_visible()
    visit.shop.down.add("payments")
    await expect(visit.page.get_by_text("Not working: payment")).to_be_visible()
    await expect(visit.page.get_by_role("row", name="payment does not answer")).to_be_visible()
    await expect(visit.page.get_by_role("row", name="catalog works")).to_be_visible()


async def test_a_letter_is_shown_and_redriven_or_discarded_only_after_a_second_word(visit: Visit) -> None:
    page = visit.page
    visit.shop.letters["catalog"] = [a_letter(LETTER), a_letter("poison", error="UndecodableEventError")]
    await enter(visit)
    await expect(page.get_by_text("All services work · 2 dead letters")).to_be_visible()
    letter = page.locator(f"[data-letter='{LETTER}']")
    await letter.get_by_role("button", name="Show").click()
    await expect(letter.get_by_label("Body of the letter")).to_contain_text('"sku": "BK-1"')

    await letter.get_by_role("button", name="Redrive").click()
    await page.get_by_role("button", name="Keep it").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert visit.shop.settled == []

    await letter.get_by_role("button", name="Redrive").click()
    await page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    await expect(letter).to_have_count(0)
    await page.locator("[data-letter=poison]").get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill("pasted by hand")
    await dialog.get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("There are none.")).to_be_visible()
    assert visit.shop.settled == [("redrive", LETTER, ""), ("discard", "poison", "pasted by hand")]


BREACH = (Check.STOCK, "product BK-0007: received 5, but available, reserved and sold are 4 in all", "BK-0007")


async def test_a_breach_is_told_with_what_to_do_and_another_audit_is_asked_for(visit: Visit) -> None:
    page = visit.page
    visit.shop.audited = an_audit(BREACH, (Check.MONEY, f"order {LETTER}: captured twice", LETTER))
    await enter(visit)
    await expect(page.get_by_text("All services work · The audit found 2 breaches")).to_be_visible()
    await expect(page.get_by_text("2 breaches: the shop does not add up.")).to_be_visible()
    await expect(page.get_by_text("2 min ago, at ")).to_be_visible()
    await expect(page.get_by_text("Not looked at: projections.")).to_be_visible()
    finding = page.locator(".finding", has_text=f"order {LETTER}: captured twice")
    await expect(finding).to_contain_text("GET /payments?order_id=ID")
    await expect(page.locator(".finding .id", has_text=LETTER)).to_have_count(0)  # it is in the text already

    await page.get_by_role("button", name="Run one now").click()
    await expect(page.get_by_text("Stock, money and messages add up.")).to_be_visible()
    await expect(page.get_by_text("All services work", exact=True)).to_be_visible()
    await expect(page.locator(".findings > ul .finding")).to_have_count(0)
    assert visit.shop.requests.count("POST /audit/runs") == 1


async def test_an_audit_that_failed_one_that_is_old_and_one_never_run_say_so(visit: Visit) -> None:
    page = visit.page
    trouble = {"at": "2026-01-02T03:04:05+00:00", "text": "nothing answers at http://127.0.0.1:8003"}
    visit.shop.audited = an_audit(last=None, trouble=trouble)
    await enter(visit)
    await expect(page.get_by_text("No audit has been run yet.")).to_be_visible()
    await expect(page.get_by_text("gave no result: nothing answers at http://127.0.0.1:8003")).to_be_visible()
    visit.shop.audited = an_audit(every_seconds=10)
    await expect(page.locator(".audit .muted.low")).to_contain_text("2 min ago")


async def test_where_nobody_audits_the_page_says_so_and_asks_only_now_and_then(visit: Visit) -> None:
    await enter(visit)
    await expect(visit.page.get_by_text("No auditor answers here.")).to_be_visible()
    await expect(visit.page.get_by_role("button", name="Run one now")).to_be_hidden()
    asked = visit.shop.requests
    looks = asked.count("GET /auth/operations")
    await wait_until(lambda: asked.count("GET /auth/operations") > looks + 1, timeout=30)
    assert asked.count("GET /audit") == 1


async def test_nobody_is_asked_while_nobody_looks(visit: Visit) -> None:
    await enter(visit)
    page, asked = visit.page, visit.shop.requests
    await expect(page.get_by_text("Live · ")).to_be_visible()
    await page.clock.install()
    await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_text("Paused")).to_be_visible()
    before = asked.count("GET /auth/operations")
    await page.clock.run_for(60_000)
    assert asked.count("GET /auth/operations") == before
    await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    await wait_until(lambda: asked.count("GET /auth/operations") > before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_keeps_nobody_out_and_fits_a_phone(visit: Visit, scheme: str) -> None:
    page = visit.page
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    visit.shop.letters["catalog"] = [a_letter(LETTER)]
    visit.shop.audited = an_audit(BREACH)
    await visit.open("/ops")
    await expect(page.get_by_label("Password")).to_be_visible()
    found = await violations(page)
    await enter(visit)
    letter = page.locator(f"[data-letter='{LETTER}']")
    await letter.get_by_role("button", name="Show").click()
    await expect(letter.get_by_label("Body of the letter")).to_be_visible()
    await page.get_by_text("Worth knowing: 1").click()
    await expect(page.get_by_text("1 dead letter in catalog.dead")).to_be_visible()
    found += await violations(page)
    await letter.get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    found += await violations(page)
    await page.keyboard.press("Escape")
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert found == []
