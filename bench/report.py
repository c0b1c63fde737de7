"""The tables of a run: each row beside ours, as a ratio; ratios are what may be compared between runs."""

from collections.abc import Mapping
from typing import Any

from bench.targets import targets_table


def ratios(document: Mapping[str, Any], figure: str = "rate") -> dict[tuple[str, str], float]:
    """Our figure divided by the contestant's, by work and contestant; of a rate, above 1 we are faster."""
    ours = {row["work"]: row[figure] for row in document["rows"] if row["role"] == "ours"}
    return {
        (row["work"], row["contestant"]): round(ours[row["work"]] / row[figure], 2)
        for row in document["rows"]
        if row["role"] not in {"ours", "client"} and row["work"] in ours and row[figure]
    }


def report(document: Mapping[str, Any]) -> str:
    """Everything a run says, in Markdown."""
    targets = "" if document["quick"] else targets_table(document)
    tables = [heading(document), table(document), *cash_tables(document["cash"]), targets]
    return "\n\n".join(text for text in tables if text)


def heading(document: Mapping[str, Any]) -> str:
    """What was measured, where, and what the machine was doing."""
    machine, versions = document["machine"], document["versions"]
    load = " → ".join(f"{document[name][0]:.1f}" for name in ("load_before", "load_after"))
    return (
        f"{document['at']}, commit {document['commit'] or 'unknown'}, {document['store']}. {machine['cores']} cores of"
        f" {machine['cpu']}, {machine['memory_gib']} GiB, load {load},"
        f" {document['stolen_percent']} % of the CPU stolen,"
        f" one fdatasync {machine['fsync_ms']} ms, a million additions in Python {machine['loop_ms']} ms. "
        + ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        + "."
    )


def table(document: Mapping[str, Any]) -> str:
    """The rows."""
    if not document["rows"]:
        return ""
    lines = [
        "| work | by | per second (min-max) | p50 ms | p99 ms"
        " | CPU ms each | RSS MiB | client busy | ours is | with CPU |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rates, cpu = ratios(document), ratios(document, "cpu_ms_per_unit")
    for row in document["rows"]:
        key = (row["work"], row["contestant"])
        lines.append(_line(row, rates.get(key), cpu.get(key)))
    return "\n".join(lines)


def cash_tables(cash: Mapping[str, Any] | None) -> list[str]:
    """The phases of a whole shop, the parts of one order alone, and the services' memory; what there is of it."""
    if cash is None:
        return []
    phases = [
        "| whole shop | customers | orders/s | to payable p50/p95 ms | whole p50/p95/p99 ms | CPU ms per order |",
        "|---|---|---|---|---|---|",
    ]
    for phase in cash["phases"]:
        payable, whole = phase["place_to_payable"], phase["whole"]
        cpu = ", ".join(f"{service} {used}" for service, used in phase["cpu_ms_per_order"].items())
        phases.append(
            f"| {phase['phase']} | {phase['customers']} | {phase['orders_per_second']}"
            f" | {payable['p50']} / {payable['p95']} | {whole['p50']} / {whole['p95']} / {whole['p99']} | {cpu} |"
        )
    tables = ["\n".join(phases)]
    for alone in (phase for phase in cash["phases"] if phase["phase"] == "one order at a time"):
        lines = [f"| {part} | {found['p50']} | {found['p95']} |" for part, found in alone["parts"].items()]
        tables.append("\n".join(["| one order alone | p50 ms | p95 ms |", "|---|---|---|", *lines]))
    if cash["memory"]:
        lines = [f"| {found['service']}_svc | {found['idle']} | {found['loaded']} |" for found in cash["memory"]]
        tables.append("\n".join(["| memory | idle MiB | under load MiB |", "|---|---|---|", *lines]))
    return [*tables, f"Audit afterwards: {'; '.join(cash['audit']) or 'clean'}."]


def _line(row: Mapping[str, Any], ratio: float | None, cpu: float | None) -> str:
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
        f"{cpu} times" if cpu else "",
    ]
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
