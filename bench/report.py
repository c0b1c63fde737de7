"""The table of a run: each row beside ours, as a ratio; ratios are what may be compared between runs."""

from collections.abc import Mapping
from typing import Any


def ratios(document: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Our rate divided by the contestant's, by work and contestant; above 1 we are faster."""
    ours = {row["work"]: row["rate"] for row in document["rows"] if row["role"] == "ours"}
    return {
        (row["work"], row["contestant"]): round(ours[row["work"]] / row["rate"], 2)
        for row in document["rows"]
        if row["role"] != "ours" and row["work"] in ours
    }


def table(document: Mapping[str, Any]) -> str:
    """The rows in Markdown, with what the machine was doing above them."""
    load = " → ".join(f"{document[name][0]:.1f}" for name in ("load_before", "load_after"))
    lines = [
        f"{document['at']}, {document['cores']} cores, load {load}, {document['stolen_percent']} % of the CPU stolen,"
        f" {document['store']}",
        "",
        "| work | by | per second (min-max) | p50 ms | p99 ms | CPU ms each | RSS MiB | client busy | ours is |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    known = ratios(document)
    return "\n".join([*lines, *(_line(row, known.get((row["work"], row["contestant"]))) for row in document["rows"])])


def _line(row: Mapping[str, Any], ratio: float | None) -> str:
    busy = row.get("client_busy_percent")
    cells = [
        row["work"],
        f"{row['contestant']} ({row['role']})",
        f"{row['rate']:,.0f} ({row['rate_min']:,.0f}-{row['rate_max']:,.0f})",
        _figure(row.get("p50_ms")),
        _figure(row.get("p99_ms")),
        f"{row['cpu_ms_per_unit']:.2f}",
        _figure(row.get("rss_mib")),
        f"{busy:.0f} %" if busy is not None else "",
        f"{ratio} times" if ratio else "",
    ]
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
