"""`python -m docs.tools.diagrams`: draw each Mermaid diagram of the documents as an SVG for the site, with Chromium.

The site asks nobody, so it shows what was drawn here and committed (docs/images/diagrams): one file per diagram, named
by its source. Mermaid itself is fetched by npm, in one version, only when something is to be drawn.
"""

import asyncio
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.async_api import async_playwright

from docs.tools.site import DIAGRAM, DRAWN, OUTSIDE, ROOT, drawing_of

MERMAID: Final = "11.4.1"
MERMAID_SHA256: Final = "ec7b61b391aaa24bf666fd20e48d0a626eeb4a95b95bc6b3016a122d7f0bc2af"
"""Of the package as npm has it."""

_DRAW: Final = """
async ([id, source]) => {
  mermaid.initialize({startOnLoad: false, deterministicIds: true, deterministicIDSeed: id, theme: 'neutral',
    fontFamily: 'system-ui, sans-serif', securityLevel: 'strict', flowchart: {useMaxWidth: true}});
  return (await mermaid.render(id, source)).svg;
}
"""


class NotDrawnError(Exception):
    """Something that is needed to draw is missing; the message says what."""


def sources() -> list[str]:
    """Every diagram of README and docs/."""
    pages = [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").rglob("*.md"))]
    return [source for page in pages for source in DIAGRAM.findall(page.read_text())]


async def draw(wanted: list[str], script: str) -> list[str]:
    """The diagrams as SVG, one line each."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NotDrawnError("chromium is not installed (Debian: chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(locale="en-GB")
        await page.add_script_tag(content=script)
        drawn = [str(await page.evaluate(_DRAW, [drawing_of(source).stem, source])) for source in wanted]
        await browser.close()
    return [re.sub(r"\s*\n\s*", " ", svg) for svg in drawn]


def mermaid_script(folder: Path) -> str:
    """Mermaid for a browser.

    Raises:
        NotDrawnError: npm could not fetch it, or it is not the one we know.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NotDrawnError("npm is not installed (Debian: npm); it fetches Mermaid")
    command = [npm, "pack", "--silent", f"mermaid@{MERMAID}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - fixed command
    if done.returncode != 0:
        raise NotDrawnError(f"npm could not fetch Mermaid: {done.stderr[-500:]}")
    package = folder / f"mermaid-{MERMAID}.tgz"
    if hashlib.sha256(package.read_bytes()).hexdigest() != MERMAID_SHA256:
        raise NotDrawnError(f"mermaid@{MERMAID} is not the package it was; nothing was drawn")
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/dist/mermaid.min.js")
        if script is None:
            raise NotDrawnError("the package has no dist/mermaid.min.js")
        return script.read().decode()


def main() -> None:
    """Draw what is not drawn yet; remove drawings of what is no more."""
    DRAWN.mkdir(parents=True, exist_ok=True)
    known = {drawing_of(source): source for source in sources()}
    for orphan in set(DRAWN.glob("*.svg")) - known.keys():
        orphan.unlink()
        sys.stdout.write(f"removed {orphan.name}\n")
    wanted = [source for path, source in known.items() if not path.exists()]
    if not wanted:
        return
    try:
        with TemporaryDirectory() as folder:
            drawn = asyncio.run(draw(wanted, mermaid_script(Path(folder))))
    except NotDrawnError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    for source, svg in zip(wanted, drawn, strict=True):
        drawing_of(source).write_text(svg + "\n")
        sys.stdout.write(f"drew {drawing_of(source).name}\n")


if __name__ == "__main__":
    main()
