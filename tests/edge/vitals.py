"""`python -m tests.edge.vitals`: what a first visit to each page costs, in bytes and in time to the largest paint.

Real Chromium and Caddy on this machine, the double of the services, an empty cache; the median of a few visits.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, async_playwright, expect

from ops.demo.books import demo_books
from tests.edge.fake_shop import FakeShop
from tests.edge.serving import edge, require, serving

PAGES = {"/": ".card-title", "/book/BK-0112": ".offer", "/ops": "form"}
VISITS = 5
_LARGEST_PAINT = """
() => new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))
  .observe({type: 'largest-contentful-paint', buffered: true}))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one visit: bytes with their headers, as they came compressed; milliseconds since the navigation began."""

    bytes: int
    requests: int
    largest_paint_ms: float


@asynccontextmanager
async def open_shop() -> AsyncIterator[tuple[Browser, str, FakeShop]]:
    """A browser, the edge's address, and the shop behind it."""
    shop = FakeShop()
    shop.stock(demo_books())
    names = ("AUTH", "CATALOG", "ORDER", "PAYMENT", "AUDITOR")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with TemporaryDirectory() as home:
        async with serving(shop.app()) as port, edge(dict.fromkeys(names, port), Path(home)) as url:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=require("chromium"), args=arguments)
                yield browser, url, shop
                await browser.close()
            shop.close()


async def first_visit(browser: Browser, url: str, path: str) -> Cost:
    """Open a page with nothing in the cache and wait until its content is there."""
    window = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
    page = await window.new_page()
    wire = await window.new_cdp_session(page)
    sizes: list[int] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
    await wire.send("Network.enable")
    await page.goto(url + path)
    await expect(page.locator(PAGES[path]).first).to_be_visible()
    await page.wait_for_load_state("networkidle")
    paint = await page.evaluate(_LARGEST_PAINT)
    await window.close()
    return Cost(sum(sizes), len(sizes), float(paint))


async def _main() -> None:
    async with open_shop() as (browser, url, _):
        for path in PAGES:
            costs = [await first_visit(browser, url, path) for _ in range(VISITS)]
            paint = statistics.median(cost.largest_paint_ms for cost in costs)
            sys.stdout.write(
                f"{path:16} {costs[-1].bytes / 1000:6.1f} kB in {costs[-1].requests} requests, "
                f"largest paint after {paint:.0f} ms\n"
            )


if __name__ == "__main__":
    asyncio.run(_main())
