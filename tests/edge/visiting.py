"""A visitor of the storefront: one browser window, what it does, and what its console complained about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import BrowserContext, ConsoleMessage, Page, expect

from tests.edge.fake_shop import FakeShop

PASSWORD = "correct horse battery"
EMAIL = "ada@example.org"
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (e) => console.error("policy", e.violatedDirective, e.blockedURI));
"""


@dataclass
class Visit:
    """One browser window in the shop, and everything its console complained about."""

    page: Page
    url: str
    shop: FakeShop
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def put_in_basket(self, sku: str) -> None:
        await self.open(f"/book/{sku}")
        await self.page.get_by_role("button", name="Add to basket").click()
        await expect(self.page.get_by_text("Go to the basket")).to_be_visible()

    async def sign_in(self) -> None:
        self.shop.users[EMAIL] = PASSWORD
        await self.open("/sign-in")
        await self.page.get_by_label("E-mail").fill(EMAIL)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("heading", name="All books")).to_be_visible()
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    async def order(self, sku: str) -> None:
        """Sign in and place an order for one copy."""
        await self.sign_in()
        await self.put_in_basket(sku)
        await self.page.get_by_role("link", name="Go to the basket").click()
        await self.page.get_by_role("button", name="Place order").click()
        await expect(self.page.get_by_role("heading", name="Order ")).to_be_visible()

    async def pay_with(self, digits: str) -> None:
        await self.page.get_by_label(digits).check()
        await self.page.get_by_role("button", name="Pay €").click()

    async def expect_status(self, status: str) -> None:
        await expect(self.page.locator(f".order-summary[data-status={status}]")).to_be_visible()

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def own_complaints(self) -> list[str]:
        """Without Chromium's own line about each answer that is not 2xx."""
        return [text for text in self.complaints if not text.startswith("Failed to load resource")]


@asynccontextmanager
async def visiting(window: BrowserContext, url: str, shop: FakeShop) -> AsyncIterator[Visit]:
    """A visit whose page must not have broken or been refused anything by its content policy when it ends."""
    page = await window.new_page()
    visit = Visit(page, url, shop)
    await page.add_init_script(TELL_VIOLATIONS)
    page.on("console", visit.hear)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    assert visit.own_complaints() == []
