"""The shop in a real browser, through the real edge, over a double of the services. One browser for each module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from ops.demo.books import demo_books
from tests.edge.fake_shop import FakeShop
from tests.edge.serving import edge, require, serving
from tests.edge.visiting import Visit, visiting

expect.set_options(timeout=15_000)  # for a busy machine; nothing waits longer than it must


@pytest_asyncio.fixture(loop_scope="module")
async def shop() -> AsyncIterator[FakeShop]:
    shop = FakeShop()
    shop.stock(demo_books())
    yield shop
    shop.close()


@pytest_asyncio.fixture(loop_scope="module")
async def url(shop: FakeShop, tmp_path: Path) -> AsyncIterator[str]:
    names = ("AUTH", "CATALOG", "ORDER", "PAYMENT", "AUDITOR")
    async with serving(shop.app()) as port, edge(dict.fromkeys(names, port), tmp_path) as url:
        yield url
        shop.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = require("chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def window(browser: Browser) -> AsyncIterator[BrowserContext]:
    window = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
    window.set_default_timeout(15_000)
    yield window
    await window.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(window: BrowserContext, url: str, shop: FakeShop) -> AsyncIterator[Visit]:
    """A visit at a desk."""
    async with visiting(window, url, shop) as visit:
        yield visit
