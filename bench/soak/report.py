"""What a run says, as Markdown: memory and files by process, the answers stretch by stretch, what the stores keep."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from bench.results import Document
from ops.config import SERVICES

JUDGED: Final = (*SERVICES, "auditor")
"""What is ours; RabbitMQ, Caddy and PostgreSQL are shown beside it."""
STRETCHES: Final = 6
GROWING: Final = 10


def grown(document: Document) -> list[str]:
    """What of ours is not flat, one sentence each."""
    units = {"memory": "MiB", "files": "open files"}
    return [
        f"{name}: {found['slope']:g} {unit} an hour ({found['low']:g} to {found['high']:g}) are not flat"
        for what, unit in units.items()
        for name, found in document[what].items()
        if name in JUDGED and not found["flat"]
    ]


def report(document: Document) -> str:
    """The whole run."""
    return "\n\n".join([_headline(document), _memory(document), _stretches(document), _kept(document)])


def _headline(document: Document) -> str:
    windows, pace, machine = document["windows"], document["pace"], document["machine"]
    done, errors = _summed(windows, "done"), _summed(windows, "errors")
    orders = sum(window["orders"] for window in windows)
    return (
        f"{document['at']}, commit {document['commit']}, {document['store']}. {machine['cores']} cores of"
        f" {machine['cpu']}, load {_loads(windows)}, {document['stolen_percent']} % of the CPU stolen.\n\n"
        f"{pace['rate']:g} orders due per second for {pace['seconds'] / 60:g} minutes: {orders:,} seen through,"
        f" {sum(errors.values()):,} not{_told(errors)}. Of them {_told_done(done)}."
        f" Audit afterwards: {'; '.join(document['audit']) or 'clean'}."
    )


def _summed(windows: Sequence[Mapping[str, Any]], what: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for window in windows:
        total.update(window[what])
    return total


def _loads(windows: Sequence[Mapping[str, Any]]) -> str:
    loads = [window["look"]["load"] for window in windows]
    return f"{min(loads):g} to {max(loads):g} (median {statistics.median(loads):g})"


def _told(errors: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} times {what}' for what, count in errors.items())})" if errors else ""


def _told_done(done: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(done.items(), key=lambda each: -each[1]))


def _memory(document: Document) -> str:
    bounds = document["bounds"]
    lines = [
        "| process | MiB first | last | most | slope MiB/h (95 %) | of the second half | flat | files first | last |"
        " slope per h |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in document["memory"].items():
        files = document["files"][name]
        flat = ("yes" if found["flat"] and files["flat"] else "**no**") if name in JUDGED else "not judged"
        cells = [
            f"{name}_svc" if name in SERVICES else name,
            *(f"{found[which]:.1f}" for which in ("first", "last", "most")),
            f"{found['slope']:+.1f} ({found['low']:+.1f} to {found['high']:+.1f})",
            f"{found['late_slope']:+.1f}",
            flat,
            *(f"{files[which]:.0f}" for which in ("first", "last")),
            f"{files['slope']:+.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    said = (
        f"Resident memory and open files. The slope is Theil and Sen's of what was seen after the first"
        f" {document['pace']['warm_up'] / 60:.0f} minutes; flat is at most {bounds['mib_per_hour']:g} MiB and"
        f" {bounds['fds_per_hour']:g} files an hour."
    )
    return "\n".join([said, "", *lines])


def _stretches(document: Document) -> str:
    """The run in some stretches: of its windows' figures the median, of what waits and of SQLite's log the most."""
    lines = [
        "| until minute | orders | POST /orders p50 / p95 / p99 ms | placed to paid p50 / p95 / p99 ms |"
        " CPU ms per order | of it the broker | waiting in queues, outboxes | WAL MiB | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for windows in _split(document["windows"]):
        cpu = [window["cpu_ms_per_order"] for window in windows]
        looks = [window["look"] for window in windows]
        cells = [
            f"{windows[-1]['at'] / 60:.0f}",
            f"{sum(window['orders'] for window in windows):,}",
            _latencies(windows, "place_ms"),
            _latencies(windows, "paid_ms"),
            f"{statistics.median(sum(each.values()) for each in cpu):.1f}",
            f"{statistics.median(each['broker'] for each in cpu):.1f}",
            ", ".join(str(max(sum(look[what].values()) for look in looks)) for what in ("queues", "outbox")),
            f"{max(sum(store['wal_bytes'] for store in look['stores'].values()) for look in looks) / 2**20:.1f}",
            f"{statistics.median(look['load'] for look in looks):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _split(windows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    cuts = [round(number * len(windows) / STRETCHES) for number in range(STRETCHES + 1)]
    return (windows[begin:end] for begin, end in pairwise(cuts) if end > begin)


def _latencies(windows: Sequence[Mapping[str, Any]], what: str) -> str:
    seen = [window[what] for window in windows if window[what]]
    if not seen:
        return ""
    return " / ".join(f"{statistics.median(each[part] for each in seen):,.0f}" for part in ("p50", "p95", "p99"))


def _kept(document: Document) -> str:
    """What an order has left in the stores, and the tables that grew the most."""
    before, after = document["opened"], document["rested"]
    orders = max(1, sum(window["orders"] for window in document["windows"]))
    lines = [
        "| store | MiB at the end | bytes per order | rows per order, of the tables that grew |",
        "|---|---|---|---|",
    ]
    for service, store in after["stores"].items():
        first = before["stores"][service]
        rows = {name: (count - first["rows"].get(name, 0)) / orders for name, count in store["rows"].items()}
        most = sorted(((each, name) for name, each in rows.items() if each >= 0.01), reverse=True)[:GROWING]
        size = f"{store['bytes'] / 2**20:.1f}", f"{(store['bytes'] - first['bytes']) / orders:,.0f}"
        lines.append(f"| {service} | {' | '.join(size)} | {', '.join(f'{name} {each:.2f}' for each, name in most)} |")
    size = f"{after['broker_bytes'] / 2**20:.1f}", f"{(after['broker_bytes'] - before['broker_bytes']) / orders:,.0f}"
    journal = (after["journal_messages"] - before["journal_messages"]) / orders
    lines.append(f"| broker's files | {' | '.join(size)} | events in the journal {journal:.2f} |")
    return "\n".join(lines)
