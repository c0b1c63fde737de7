"""A first visit stays light. Times are the machine's: `python -m tests.edge.vitals` measures them, no test does."""

import re

import pytest
from playwright.async_api import Browser

from tests.edge.serving import ROOT
from tests.edge.vitals import PAGES, first_visit

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

MOST_BYTES = 150_000


async def test_a_first_visit_to_any_page_stays_light(browser: Browser, url: str) -> None:
    for path in PAGES:
        cost = await first_visit(browser, url, path)
        assert 10_000 < cost.bytes < MOST_BYTES, path
        assert cost.largest_paint_ms > 0, path


@pytest.mark.parametrize("page", ["index.html", "ops.html"])
async def test_every_module_a_page_needs_is_fetched_at_once(page: str) -> None:
    static = ROOT / "edge/static"
    html = (static / page).read_text()
    [entry] = re.findall(r'<script type="module" src="(.*?)"', html)
    needed, ahead = set(), [static / entry.lstrip("/")]
    while ahead:
        module = ahead.pop()
        for name in re.findall(r'^(?:import|export) .*?from "(.*?)";', module.read_text(), re.MULTILINE):
            found = (module.parent / name).resolve()
            if found not in needed:
                needed.add(found)
                ahead.append(found)
    announced = {static / path.lstrip("/") for path in re.findall(r'rel="modulepreload" href="(.*?)"', html)}
    assert announced == needed - {static / entry.lstrip("/")}
