"""The documentation builds as a site without a warning, refuses broken links, and fetches nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.tools.diagrams import sources
from docs.tools.pages import DOCS
from docs.tools.site import DRAWN, drawing_of

ROOT = DOCS.parent
FETCHED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link[^>]*rel=\"?(?:stylesheet|preconnect|icon)[^>]*https?:"
)


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to be spoilt."""
    shutil.copytree(DOCS, tmp_path / "docs")
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_site_builds_and_its_pages_fetch_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert {"index.html", "architecture.html", "CONTRIBUTING.html"} <= {page.name for page in pages}
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


def test_diagrams_are_drawn_in_the_page(tmp_path: Path) -> None:
    assert build(ROOT, tmp_path).returncode == 0
    page = (tmp_path / "architecture.html").read_text()
    assert len(re.findall(r'<div class="diagram" role="img" aria-label="Diagram: [A-Z][^"]+">\s*<svg', page)) == 3
    assert "stateDiagram-v2" not in page
    assert not (tmp_path / "images" / "diagrams").exists()


def test_a_diagram_that_was_changed_and_not_drawn_stops_the_build(copy: Path) -> None:
    page = copy / "docs" / "architecture.md"
    page.write_text(page.read_text().replace("stateDiagram-v2\n", "stateDiagram-v2\n    direction LR\n"))
    done = build(copy, copy / "site")
    assert done.returncode != 0
    assert "python -m docs.tools.diagrams" in done.stderr


def test_there_is_a_drawing_of_each_diagram_and_of_nothing_else() -> None:
    assert {drawing_of(source) for source in sources()} == set(DRAWN.glob("*.svg"))


@pytest.mark.parametrize("link", ["nowhere.md", "http.md#no-such-heading"])
def test_a_link_that_leads_nowhere_stops_the_build(copy: Path, link: str) -> None:
    with (copy / "docs" / "architecture.md").open("a") as page:
        page.write(f"\nSee [there]({link}).\n")
    done = build(copy, copy / "site")
    assert done.returncode != 0
    assert link.partition("#")[0] in done.stderr
