"""`python -m tests.edge.first_order`: from `git clone` to the first paid order in a real browser, in seconds per stage.

The committed tree is cloned into a temporary folder and started there with `make run` on free ports, with a virtual
environment of its own. Then Chromium opens an account, buys a book and pays.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Page, async_playwright, expect

from tests.edge.serving import require
from tests.support.local_shop import ROOT, LocalShop, local_shop

OPEN_SECONDS = 900.0
"""With every package to be fetched, on a slow line."""
STEP_SECONDS = 60_000
MARKS = {
    "starting a private RabbitMQ node": "Python packages",
    "RabbitMQ is up": "broker",
    "all four services are ready": "stores and services",
    "on the shelves": "demo bookshop",
    "the shop is open": "auditor, and quiet",
}
"""What the launcher prints, and which stage has ended with it."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    tell(name, time.monotonic() - begun)


def tell(name: str, seconds: float) -> None:
    sys.stdout.write(f"{name:24} {seconds:7.1f} s\n")
    sys.stdout.flush()


def printed(log: Path) -> str:
    """What the launcher has printed so far."""
    return log.read_text() if log.exists() else ""


async def watch(log: Path) -> None:
    """Tell each stage of the start when the launcher has printed its end."""
    marks, last = dict(MARKS), time.monotonic()
    while marks:
        for mark in [mark for mark in marks if mark in printed(log)]:
            tell(f"  {marks.pop(mark)}", time.monotonic() - last)
            last = time.monotonic()
        await asyncio.sleep(0.05)


async def buy(page: Page, shop: LocalShop) -> None:
    """A new customer buys one book."""
    with stage("first page"):
        await page.goto(shop.url)
        await expect(page.locator(".card-title")).to_have_count(24)
    with stage("account"):
        await page.goto(f"{shop.url}/register")
        await page.get_by_label("Name").fill("Ada")
        await page.get_by_label("E-mail").fill("ada@example.org")
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Open account").click()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    with stage("order, stock held"):
        await page.locator(".card-title").first.click()
        await page.get_by_role("button", name="Add to basket").click()
        await page.get_by_role("link", name="Go to the basket").click()
        await page.get_by_role("button", name="Place order").click()
        await expect(page.locator(".order-summary[data-status=awaiting_payment]")).to_be_visible()
    with stage("paid"):
        await page.get_by_label("4242").check()
        await page.get_by_role("button", name="Pay €").click()
        await expect(page.locator(".order-summary[data-status=paid]")).to_be_visible()


async def measure(folder: Path) -> None:
    """All stages, each told when it ends."""
    begun = time.monotonic()
    with stage("git clone"):
        subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder / "shop")], check=True)  # noqa: ASYNC221, S603, S607 - nothing else runs yet
    expect.set_options(timeout=STEP_SECONDS)
    watching = asyncio.create_task(watch(folder / "shop.log"))
    try:
        called = time.monotonic()
        command = ("make", "run")
        async with (
            local_shop(folder, command=command, cwd=folder / "shop", open_seconds=OPEN_SECONDS) as shop,
            async_playwright() as playwright,
        ):
            tell("make run", time.monotonic() - called)
            with stage("browser"):
                browser = await playwright.chromium.launch(
                    executable_path=require("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                page = await browser.new_page(locale="en-GB")
            await buy(page, shop)
            tell("clone to paid", time.monotonic() - begun)
            await browser.close()
    finally:
        watching.cancel()


def main() -> None:
    for program in ("git", "make", "caddy", "chromium"):
        require(program)
    before = os.getloadavg()[0]
    with TemporaryDirectory(prefix="first-order-") as folder:
        asyncio.run(measure(Path(folder)))
    sys.stdout.write(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} processors\n")


if __name__ == "__main__":
    main()
