"""What axe finds wrong with a page as it stands in the browser."""

from functools import cache
from typing import Any

from playwright.async_api import Page

from tests.edge.serving import ROOT

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

_END_ANIMATIONS = """
for (const running of document.getAnimations())
  running.effect.getComputedTiming().endTime === Infinity ? running.cancel() : running.finish();
"""


@cache
def _axe() -> str:
    return (ROOT / "tests/edge/vendor/axe.min.js").read_text()


async def violations(page: Page) -> list[str]:
    """One line per violated rule and element; running animations are brought to their end first."""
    await page.evaluate(_axe())
    await page.evaluate(_END_ANIMATIONS)
    found: list[dict[str, Any]] = await page.evaluate(
        "async (tags) => (await axe.run(document, {runOnly: {type: 'tag', values: tags}})).violations", _RULES
    )
    return [
        f"{page.url} {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
