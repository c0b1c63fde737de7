"""Every page of the shop, light and dark, as axe judges it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.edge.accessibility import violations
from tests.edge.fake_shop import FakeShop
from tests.edge.visiting import Visit, visiting

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


@pytest_asyncio.fixture(loop_scope="module", params=["light", "dark"])
async def visit(request: pytest.FixtureRequest, browser: Browser, url: str, shop: FakeShop) -> AsyncIterator[Visit]:
    """A visit in a scheme of colours."""
    window = await browser.new_context(locale="en-GB", color_scheme=request.param, reduced_motion="reduce")
    window.set_default_timeout(15_000)
    async with visiting(window, url, shop) as visit:
        yield visit
    await window.close()


async def test_no_page_of_the_shop_keeps_anybody_out(visit: Visit) -> None:
    page, found = visit.page, []
    await visit.open("/")
    await expect(page.locator(".card-title")).to_have_count(24)
    found += await violations(page)
    await visit.open("/?q=whale")
    await expect(page.get_by_text("No book matches")).to_be_visible()
    found += await violations(page)
    for path in ("/register", "/nowhere"):
        await visit.open(path)
        await expect(page.locator("h1")).to_be_visible()
        found += await violations(page)
    await visit.sign_in()
    await visit.put_in_basket("BK-0001")
    found += await violations(page)
    await visit.open("/basket")
    await expect(page.get_by_role("button", name="Place order")).to_be_visible()
    found += await violations(page)
    await page.get_by_role("button", name="Place order").click()
    await visit.expect_status("awaiting_payment")
    await visit.pay_with("9995")
    await expect(page.get_by_text("There is not enough money on the card.")).to_be_visible()
    found += await violations(page)
    await visit.pay_with("3155")
    await expect(page.get_by_text("Your bank asks")).to_be_visible()
    found += await violations(page)
    await page.get_by_role("button", name="Yes, it is me").click()
    await visit.expect_status("paid")
    await expect(page.locator(".timeline li")).to_have_count(5)
    found += await violations(page)
    await visit.open("/my/orders")
    await expect(page.locator(".badge")).to_be_visible()
    found += await violations(page)
    visit.shop.down.add("catalog")
    await visit.open("/book/BK-0001")
    await expect(page.get_by_role("alert")).to_be_visible()
    found += await violations(page)
    assert found == []
