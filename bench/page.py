"""The generated part of docs/performance.md, and its picture: what the newest results of the benchmarks say."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from bench.report import report
from bench.results import RESULTS, Document, newest, newest_soak
from bench.soak.report import report as soak_report

BEGIN: Final = "<!-- Between these marks: made by `python -m docs.tools` from the newest of bench/results. -->"
END: Final = "<!-- End of the generated part. -->"
IN_FULL: Final = frozenset({"hop", "backlog", "orders", "reads", "replay", "cash", "idle", "memory"})
ON_POSTGRES: Final = frozenset({"hop", "orders", "cash"})

COLOURS: Final = {"ours": "#1f6fb2", "floor": "#a9bac8", "peer": "#c9803c", "naive": "#c9803c"}
WIDTH: Final = 860
LABELS: Final = 290
FIGURES: Final = 120
ROW: Final = 24


def performance_page(text: str, folder: Path = RESULTS) -> str:
    """The page with its generated part made anew.

    Raises:
        ValueError: the marks are not there.
    """
    if BEGIN not in text or END not in text:
        raise ValueError("docs/performance.md has lost the marks around its generated part")
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    return f"{head}{BEGIN}\n\n{_figures(folder)}\n\n{END}{tail}"


def performance_picture(folder: Path = RESULTS) -> str:
    """The rates of the newest full result on SQLite as an SVG document; each work has a scale of its own."""
    found = newest(IN_FULL, "SQLite", folder)
    groups = list(_groups(found[1])) if found else []
    height = 50 + sum(34 + ROW * len(rows) for _, rows in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Units of work per second: ours beside floors and peers</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(),
    ]
    y = 50
    for work, rows in groups:
        parts.append(f'<text x="10" y="{y + 14}" font-weight="bold" fill="#123">{escape(work)}, per second</text>')
        y += 22
        for row in rows:
            parts += _bar(row, y, max(other["rate_max"] for other in rows))
            y += ROW
        y += 12
    return "\n".join([*parts, "</svg>"]) + "\n"


def _figures(folder: Path) -> str:
    parts: list[str] = []
    for store, wanted in (("SQLite", IN_FULL), ("PostgreSQL", ON_POSTGRES)):
        if (found := newest(wanted, store, folder)) is not None:
            name, document = found
            parts.append(f"### On {store}\n\nFrom `bench/results/{name}`: {report(document)}")
    if (soaked := newest_soak(folder)) is not None:
        name, document = soaked
        picture = "![Memory and answers over the minutes of the run](images/soak.svg)"
        parts.append(f"### An hour of load\n\n{picture}\n\nFrom `bench/results/{name}`: {soak_report(document)}")
    return "\n\n".join(parts) or "There is no full result yet: run `make bench`, then `python -m docs.tools`."


def _groups(document: Document) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Works with somebody to compare with."""
    for work in dict.fromkeys(row["work"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["work"] == work and row["role"] in COLOURS]
        if len(rows) > 1:
            yield work, rows


def _bar(row: Mapping[str, Any], y: int, most: float) -> Iterator[str]:
    """Name, median as a bar, the extremes as a line, the figure."""
    scale = (WIDTH - LABELS - FIGURES) / most
    yield f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end" fill="#123">{escape(row["contestant"])}</text>'
    yield (
        f'<rect x="{LABELS}" y="{y + 2}" width="{row["rate"] * scale:.1f}" height="15" fill="{COLOURS[row["role"]]}"/>'
    )
    low, high = (LABELS + row[name] * scale for name in ("rate_min", "rate_max"))
    yield f'<path d="M{low:.1f} {y + 9.5}H{high:.1f}" stroke="#123" stroke-width="1.5"/>'
    yield f'<text x="{high + 8:.1f}" y="{y + 13}" fill="#123">{row["rate"]:,.0f}</text>'


def _legend() -> Iterator[str]:
    for number, (role, words) in enumerate(
        {"ours": "the shop", "floor": "floor, by hand", "peer": "what one would use instead"}.items()
    ):
        x = 10 + 190 * number
        yield f'<rect x="{x}" y="14" width="14" height="14" fill="{COLOURS[role]}"/>'
        yield f'<text x="{x + 20}" y="26" fill="#123">{words}</text>'
