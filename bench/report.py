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
        f"{document['at']}, {document['cores']} cores, load {load}, {document['stolen_percent']} % of the CPU stolen",
        "",
        "| work | by | per second (min-max) | CPU ms each | RSS MiB | ours is |",
        "|---|---|---|---|---|---|",
    ]
    known = ratios(document)
    for row in document["rows"]:
        ratio = known.get((row["work"], row["contestant"]))
        spread = f"{row['rate']:,.0f} ({row['rate_min']:,.0f}-{row['rate_max']:,.0f})"
        lines.append(
            f"| {row['work']} | {row['contestant']} ({row['role']}) | {spread} | {row['cpu_ms_per_unit']:.2f}"
            f" | {row['rss_mib'] or ''} | {f'{ratio} times' if ratio else ''} |"
        )
    return "\n".join(lines)
