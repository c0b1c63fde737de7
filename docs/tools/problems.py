"""The table of problem types in docs/http.md: the chassis' registry, and what each service's source raises."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from chassis.problems import CHASSIS_PROBLEMS, STATUS_OF_KIND
from chassis.seedwork import ErrorKind
from contracts.registry import SERVICES

ROOT: Final = Path(__file__).resolve().parents[2]
BEGIN: Final = "<!-- Between these marks: made by `python -m docs.tools` from the code. -->"
END: Final = "<!-- End of the generated part. -->"
NOT_OVER_HTTP: Final = frozenset({"amount-mismatch", "not-an-operator"})
"""Raised for an event and by a command line only."""


MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"price-changed": "The total is not the `expected_total` of the request: read the prices again."}
)
"""Of problems whose words are put together at run time and that have no class to say what they mean."""


@dataclass(frozen=True, slots=True)
class Raised:
    """One problem type as a service raises it."""

    slug: str
    status: int
    service: str
    meaning: str


def http_page(text: str) -> str:
    """The page with its generated part made anew.

    Raises:
        ValueError: the marks are not there.
    """
    if BEGIN not in text or END not in text:
        raise ValueError("docs/http.md has lost the marks around its generated part")
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    return f"{head}{BEGIN}\n\n{_tables()}\n{END}{tail}"


def raised() -> list[Raised]:
    """What the services raise beside the chassis' own problems, by service and slug, each once."""
    found: dict[tuple[str, str], Raised] = {}
    for service in SERVICES:
        package = ROOT / f"{service}_svc"
        for path in sorted(package.rglob("*.py"), key=lambda path: ("domain" not in path.parts, path)):
            for problem in _in_module(ast.parse(path.read_text()), service):
                if problem.slug not in CHASSIS_PROBLEMS and problem.slug not in NOT_OVER_HTTP:
                    found.setdefault((service, problem.slug), problem)
    return [found[key] for key in sorted(found)]


def _tables() -> str:
    everywhere = ["Of every service:", "", "| type | status | what to do |", "|---|---|---|"]
    everywhere += [f"| `{p.slug}` | {p.status} | {p.description} |" for p in CHASSIS_PROBLEMS.values()]
    own = ["Of one service:", "", "| type | status | service | what it means |", "|---|---|---|---|"]
    own += [f"| `{p.slug}` | {p.status} | {p.service} | {p.meaning} |" for p in raised()]
    return "\n".join([*everywhere, "", *own, ""])


def _in_module(module: ast.Module, service: str) -> Iterator[Raised]:
    """First those with a class of their own, whose docstring says what they mean."""
    documented: dict[ast.Call, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            documented |= {call: ast.get_docstring(node) or "" for call in _super_inits(node)}
    others = [node for node in ast.walk(module) if isinstance(node, ast.Call) and node not in documented]
    for call in (*documented, *others):
        if (problem := _problem(call, service, documented.get(call, ""))) is not None:
            yield problem


def _super_inits(node: ast.ClassDef) -> list[ast.Call]:
    return [
        call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    ]


def _problem(call: ast.Call, service: str, class_text: str) -> Raised | None:
    name, arguments = ast.unparse(call.func), call.args
    if name in {"DomainError", "super().__init__"} and len(arguments) > 1:
        kind = re.fullmatch(r"ErrorKind\.(\w+)", ast.unparse(arguments[1]))
        if kind is not None:
            status = STATUS_OF_KIND[ErrorKind[kind[1]]]
            slug = _text(arguments[0])
            return Raised(slug, status, service, MEANINGS.get(slug) or class_text or _text(*arguments[2:3]))
    if name == "ProblemError" and len(arguments) > 1:
        return Raised(_text(arguments[1]), int(_text(arguments[0])), service, _text(*arguments[2:3]))
    return None


def _text(*nodes: ast.expr) -> str:
    """The words of a literal; what an f-string fills in becomes `…`."""
    for node in nodes:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
