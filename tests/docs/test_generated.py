"""What is generated from the code is committed as the code would make it today."""

import re
from pathlib import Path
from typing import Any

import pytest

from chassis.problems import CHASSIS_PROBLEMS
from contracts.registry import EVENT_TYPES, SERVICES
from docs.tools.pages import DOCS, PAGES
from docs.tools.problems import http_page, raised
from ops.docs import asyncapi_document

ROOT = DOCS.parent
MARKDOWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_pages_are_current(path: Path) -> None:
    assert path.read_text() == PAGES[path](), f"{path.name} is out of date: run `python -m docs.tools`"


def test_every_event_has_a_channel_a_message_and_an_operation_for_each_who_sends_or_receives_it() -> None:
    document = asyncapi_document()
    assert document["channels"].keys() == document["components"]["messages"].keys() == EVENT_TYPES.keys()
    expected = sum(len(contract.publishes) + len(contract.reads) for contract in SERVICES.values())
    assert len(document["operations"]) == expected


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi_document()
    for reference in _references(document):
        assert _follow(document, reference) is not None, reference


def test_problems_are_found_in_every_way_a_service_raises_them() -> None:
    found = {problem.slug: problem for problem in raised()}
    assert found["price-changed"].status == 409, "DomainError(…)"
    assert found["product-exists"].status == 409, "super().__init__(…)"
    assert found["csrf"].status == 403, "ProblemError(…)"
    assert all(problem.meaning for problem in found.values())
    assert not found.keys() & CHASSIS_PROBLEMS.keys()


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        http_page("# HTTP\n")


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_repository_that_are_named_exist(page: Path) -> None:
    folders = "contracts|chassis|auth_svc|catalog_svc|order_svc|payment_svc|ops|edge|tests|bench|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*\w)`", page.read_text()):
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{page.name}: {path}"


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


def _follow(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"(?m)^#+ (.+)$", _without_code(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
