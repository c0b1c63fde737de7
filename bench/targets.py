"""What the shop should reach on two quiet cores, and whether a run did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.hop.race import FASTSTREAM, IN_BATCHES
from bench.web.work import PAGE

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """One figure: `of` takes it out of a document, None if it was not measured."""

    what: str
    wanted: float
    unit: str
    of: Callable[[Document], float | None]
    at_most: bool = False

    def met(self, figure: float) -> bool:
        return figure <= self.wanted if self.at_most else figure >= self.wanted


def _ours(work: str, figure: str = "rate") -> Callable[[Document], float | None]:
    def of(document: Document) -> float | None:
        return next((row[figure] for row in document["rows"] if (row["work"], row["role"]) == (work, "ours")), None)

    return of


def _beside(work: str, contestant: str) -> Callable[[Document], float | None]:
    def of(document: Document) -> float | None:
        ours = _ours(work)(document)
        theirs = next(
            (row["rate"] for row in document["rows"] if (row["work"], row["contestant"]) == (work, contestant)), None
        )
        return None if ours is None or theirs is None else round(ours / theirs, 2)

    return of


def _backlog(document: Document) -> float | None:
    """The rate of the backlog, divided by that of the hop."""
    backlog = next((row["rate"] for row in document["rows"] if row["work"].startswith("backlog")), None)
    hop = _ours("event hop")(document)
    return None if backlog is None or hop is None else round(backlog / hop, 2)


def _phase(name: str, *path: str) -> Callable[[Document], float | None]:
    def of(document: Document) -> float | None:
        found: Any = next(
            (phase for phase in (document["cash"] or {}).get("phases", ()) if phase["phase"] == name), None
        )
        for step in path if found is not None else ():
            found = found[step]
        return None if found is None else float(found)

    return of


def _memory(when: str) -> Callable[[Document], float | None]:
    return lambda document: max((each[when] for each in (document["cash"] or {}).get("memory", ())), default=None)


TARGETS: Final = (
    Target("event hop through the chassis", 1200, "/s", _ours("event hop")),
    Target("… beside the floor in batches", 0.5, "times", _beside("event hop", IN_BATCHES)),
    Target("… beside FastStream", 6, "times", _beside("event hop", FASTSTREAM)),
    Target("backlog beside the hop", 1, "times", _backlog),
    Target("POST /orders", 1200, "/s", _ours("POST /orders")),
    Target("POST /orders, p99", 100, "ms", _ours("POST /orders", "p99_ms"), at_most=True),
    Target("GET a product", 2500, "/s", _ours("GET a product")),
    Target(f"GET {PAGE} of a category", 1000, "/s", _ours(f"GET {PAGE} of a category")),
    Target("GET a product, 304", 4000, "/s", _ours("GET a product, 304")),
    Target("placed to paid", 150, "/s", _phase("sustained", "orders_per_second")),
    Target(
        "placed to payable at a quarter of the customers, p95",
        250,
        "ms",
        _phase("a quarter of them", "place_to_payable", "p95"),
        at_most=True,
    ),
    Target(
        "one order alone, placed to paid, p50", 60, "ms", _phase("one order at a time", "whole", "p50"), at_most=True
    ),
    Target("memory of the largest service, idle", 120, "MiB", _memory("idle"), at_most=True),
    Target("memory of the largest service, under load", 250, "MiB", _memory("loaded"), at_most=True),
)


def targets_table(document: Document) -> str:
    """Those that were measured, in Markdown."""
    lines = ["| target | wanted | measured | |", "|---|---|---|---|"]
    for target in TARGETS:
        figure = target.of(document)
        if figure is not None:
            sign, verdict = ("≤" if target.at_most else "≥"), ("met" if target.met(figure) else "**missed**")
            lines.append(
                f"| {target.what} | {sign} {target.wanted:,} {target.unit} | {figure:,} {target.unit} | {verdict} |"
            )
    return "\n".join(lines)
