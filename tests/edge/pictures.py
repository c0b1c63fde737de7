"""`python -m tests.edge.pictures docs/images`: the documents' pictures, of the shop as the tests drive it."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from ops.audit import Check
from tests.edge.fake_operations import a_letter, an_audit
from tests.edge.fake_shop import FakeShop
from tests.edge.visiting import EMAIL, Visit, visiting
from tests.edge.vitals import open_shop

SHAPES = {"desktop": (1280, 860, "light"), "phone": (390, 844, "light"), "dark": (1280, 860, "dark")}
QUALITY = 66


async def take(folder: Path) -> None:
    """Every shape of every picture, into a folder that is there."""
    async with open_shop() as (browser, url, shop):
        for shape in SHAPES:
            await _take_shape(browser, url, shop, folder, shape)


async def _take_shape(browser: Browser, url: str, shop: FakeShop, folder: Path, shape: str) -> None:
    width, height, scheme = SHAPES[shape]
    window = await browser.new_context(
        locale="en-GB",
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        is_mobile=shape == "phone",
    )
    async with visiting(window, url, shop) as visit:
        page = visit.page
        await visit.open("/")
        await expect(page.locator(".card-title")).to_have_count(24)
        await _picture(page, folder / f"shelf-{shape}.jpg")
        await _order(visit)
        await _picture(page, folder / f"order-{shape}.jpg")
        shop.operators.add(EMAIL)
        shop.letters["catalog"] = [a_letter("01a20964-9c20-7daa-9610-c370e0f00399")]
        shop.audited = an_audit(
            (Check.STOCK, "product BK-0007: received 5, but available, reserved and sold are 4 in all", "BK-0007")
        )
        await visit.open("/ops")
        await expect(page.locator(".finding").first).to_be_visible()
        await expect(page.locator(".letter")).to_be_visible()
        await _picture(page, folder / f"ops-{shape}.jpg")
    await window.close()


async def _order(visit: Visit) -> None:
    await visit.sign_in()
    await visit.put_in_basket("BK-0112")
    await visit.put_in_basket("BK-0001")
    await visit.open("/basket")
    await visit.page.get_by_role("button", name="Place order").click()
    await visit.expect_status("awaiting_payment")
    await expect(visit.page.locator(".timeline li")).to_have_count(2)
    await expect(visit.page.locator(".link-state.live")).to_be_visible()


async def _picture(page: Page, path: Path) -> None:
    await page.evaluate("document.getElementById('toast').classList.remove('shown')")
    await page.screenshot(path=path, type="jpeg", quality=QUALITY)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(target))
