"""What mkdocs does not know by itself: pages that live beside docs/, links into the sources, diagrams without a script.

mkdocs calls the `on_…` functions (mkdocs.yml, `hooks`).
"""

import hashlib
import posixpath
import re
from html import escape
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
OUTSIDE: Final = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages at the root of the repository, and their names in the site."""

DRAWN: Final = ROOT / "docs" / "images" / "diagrams"
DIAGRAM: Final = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the root's pages in."""
    for name, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with links as the site has them; what the site does not have is named, not linked."""
    source = next((name for name, uri in OUTSIDE.items() if uri == page.file.src_uri), f"docs/{page.file.src_uri}")
    text = _LINK.sub(lambda link: site_link(link, source, page.file.src_uri), markdown)
    return DIAGRAM.sub(lambda diagram: site_diagram(diagram, text), text)


def drawing_of(diagram: str) -> Path:
    """Where the drawing of a diagram's source is kept."""
    return DRAWN / f"d{hashlib.sha256(diagram.encode()).hexdigest()[:16]}.svg"


def site_diagram(diagram: re.Match[str], page: str) -> str:
    """A diagram as its drawing inside the page, named by the heading above it.

    Raises:
        PluginError: it was not drawn since it was changed.
    """
    path = drawing_of(diagram[1])
    if not path.exists():
        raise PluginError(f"a diagram has no drawing: run `python -m docs.tools.diagrams`\n{diagram[1][:200]}")
    above = _HEADING.findall(page[: diagram.start()])
    name = escape(f"Diagram: {above[-1]}" if above else "Diagram")
    return f'<div class="diagram" role="img" aria-label="{name}">{path.read_text().strip()}</div>\n'


def site_link(link: re.Match[str], source: str, uri: str) -> str:
    """One Markdown link of the file `source` (a path in the repository) on the site's page `uri`."""
    image, words, target = link.groups()
    if "://" in target or target.startswith("#"):
        return link[0]
    name, mark, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    inside = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if inside is None:
        return f"{words} (`{path}`)"
    return f"{image}[{words}]({posixpath.relpath(inside, posixpath.dirname(uri) or '.')}{mark}{anchor})"
