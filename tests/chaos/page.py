"""The report for people: one file with everything in it, readable in the dark and on a telephone."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from ops.config import SERVICES
from tests.chaos.chart import Band, Frame, Line, chart, smooth
from tests.chaos.summary import LASTING, Document

WIDTHS: Final = {"wide": 960.0, "narrow": 400.0}
SMOOTH_SECONDS: Final = 5
STYLE: Final = Path(__file__).with_name("page.css")
WORDS: Final = {
    "kill": "a service killed",
    "freeze": "a service frozen",
    "restart": "a service restarted",
    "stop": "a service stopped",
}
BAND_STYLES: Final = {
    "broker killed": "red",
    "broker frozen": "blue",
    "broker full": "amber",
    "broker node killed": "red",
}


def page(document: Document) -> str:
    """The HTML of a report."""
    title = f"{document['config']['mode']}, {document['machine']['at'][:16].replace('T', ' ')} UTC"
    body = [
        _headline(document, title),
        _tiles(document),
        _charts(document),
        _wrong(document["verdict"]),
        _section("What customers met", _phases(document["phases"])),
        _section("What was done to the shop", _faults(document)),
        _section("How it was run", _settings(document)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Orderflow chaos: {escape(title)}</title><style>{STYLE.read_text()}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _headline(document: Document, title: str) -> str:
    counts, faults = document["counts"], document["counts"]["faults"]
    done = ", ".join(f"{WORDS.get(kind, kind)} {_times(number)}" for kind, number in faults.items()) or "nothing"
    word, style = ("Kept", "good") if document["passed"] else ("Broken", "bad")
    return (
        f'<header><p class="over">Orderflow under fault · {escape(title)}</p>'
        f'<h1><span class="verdict {style}">{word}</span> {_sentence(document)}</h1>'
        f"<p>{counts['offered']:,} people came to order, on their own schedule. Meanwhile: {escape(done)}.</p></header>"
    )


def _sentence(document: Document) -> str:
    verdict = document["verdict"]
    lost, doubled = len(verdict["lost"]), len(verdict["doubled"]) + len(verdict["phantom"])
    books = "the books add up" if not verdict["audit"] else "the books do not add up"
    return f"{_number(lost, 'order')} lost, {doubled or 'none'} doubled, {books}"


def _tiles(document: Document) -> str:
    counts, phases = document["counts"], document["phases"]
    at_once = sum(phase["accepted_at_once"] for phase in phases)
    offered = sum(phase["offered"] for phase in phases)
    tiles = {
        "accepted": _share(counts["accepted"], counts["offered"]),
        "at the first try": _share(at_once, offered),
        "paid": f"{counts['paid']:,}",
        "POST /orders p99, steady": _ms(phases[0]["place"].get("p99")),
        f"p99, {phases[1]['name']}": _ms(phases[1]["place"].get("p99")),
        "processes restarted": f"{sum(counts['restarts'].values()):,}",
    }
    return '<dl class="tiles">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in tiles.items()) + "</dl>"


def _charts(document: Document) -> str:
    series = document["series"]
    orders = [
        Line("came", "c-muted", smooth(series["offered"], SMOOTH_SECONDS)),
        Line("accepted", "c-blue", smooth(series["accepted"], SMOOTH_SECONDS)),
        Line("paid", "c-green", smooth(series["paid"], SMOOTH_SECONDS)),
    ]
    latency = [
        Line("p50", "c-blue", [(at + 0.5, value) for at, value in enumerate(series["place_p50"])]),
        Line("p99", "c-orange", [(at + 0.5, value) for at, value in enumerate(series["place_p99"])]),
    ]
    return (
        _figure(document, "Orders per second", orders)
        + _figure(document, "POST /orders, milliseconds", latency, logarithmic=True)
        + _figure(document, "Events waiting", _backlog(series["backlog"]))
    )


def _backlog(samples: Sequence[dict[str, Any]]) -> list[Line]:
    colours = {"auth": "c-muted", "catalog": "c-green", "order": "c-blue", "payment": "c-orange"}
    inboxes = [(s["at"], sum(s["inbox"].values()) if s["inbox"] is not None else None) for s in samples]
    return [
        *(
            Line(f"outbox of {name}", colours[name], [(s["at"], s["outbox"][name]) for s in samples])
            for name in SERVICES
        ),
        Line("all inboxes", "c-red dashed", inboxes),
    ]


def _figure(document: Document, title: str, lines: Sequence[Line], *, logarithmic: bool = False) -> str:
    bands, ticks = _bands(document["faults"])
    seconds = max(len(document["series"]["offered"]) - 1, 1)
    drawn = "".join(
        f'<div class="{name}">{chart(title, Frame(width, seconds, bands, ticks), lines, logarithmic=logarithmic)}</div>'
        for name, width in WIDTHS.items()
    )
    keys = "".join(f'<li><i class="key {line.style}"></i>{escape(line.label)}</li>' for line in lines)
    keys += "".join(
        f'<li><i class="key block {style}"></i>{escape(label)}</li>' for label, style in _band_kinds(bands).items()
    )
    keys += '<li><i class="key mark"></i>kill or restart</li>' if ticks else ""
    return f'<figure><figcaption>{title}</figcaption><ul class="keys">{keys}</ul>{drawn}</figure>'


def _bands(faults: Iterable[dict[str, Any]]) -> tuple[list[Band], list[float]]:
    bands, ticks = list[Band](), list[float]()
    for fault in faults:
        if fault["kind"] in LASTING and fault["healed"] is not None:
            style = BAND_STYLES.get(fault["kind"], "violet")
            bands.append(Band(fault["name"], style, fault["begin"], fault["healed"]))
        else:
            ticks.append(fault["begin"])
    return bands, ticks


def _band_kinds(bands: Iterable[Band]) -> dict[str, str]:
    return {band.label: band.style for band in bands}


def _wrong(verdict: dict[str, list[str]]) -> str:
    found = {name: texts for name, texts in verdict.items() if texts}
    if not found:
        return ""
    rows = "".join(
        f"<h3>{escape(name)}: {len(texts)}</h3><ul>{''.join(f'<li>{escape(text)}</li>' for text in texts[:50])}</ul>"
        for name, texts in found.items()
    )
    return f'<section class="wrong"><h2>What is wrong</h2>{rows}</section>'


def _phases(phases: Iterable[dict[str, Any]]) -> str:
    head = ("", "came", "accepted", "at the first try", "place p50 / p95 / p99 / max", "placed to paid p50 / p99")
    rows = [
        (
            phase["name"],
            f"{phase['offered']:,}",
            _share(phase["accepted"], phase["offered"]),
            _share(phase["accepted_at_once"], phase["offered"]),
            " / ".join(_ms(phase["place"].get(name)) for name in ("p50", "p95", "p99", "max")),
            " / ".join(_ms(phase["placed_to_paid"].get(name)) for name in ("p50", "p99")),
        )
        for phase in phases
    ]
    return _table(head, rows)


def _faults(document: Document) -> str:
    head = (
        "",
        "from",
        "to",
        "came",
        "accepted",
        "at the first try",
        "most waiting",
        "backlog gone after",
        "no order paid for",
        "",
    )
    rows = [
        (
            fault["name"],
            f"{fault['begin']:.0f} s",
            f"{fault['healed']:.0f} s" if fault["healed"] is not None else "never",
            f"{fault['offered']:,}",
            _share(fault["accepted"], fault["offered"]),
            _share(fault["accepted_at_once"], fault["offered"]),
            f"{fault['largest_backlog']:,}" if fault["largest_backlog"] is not None else "-",
            f"{fault['recovered_after']:g} s" if fault["recovered_after"] is not None else "not seen",
            f"{fault['nothing_paid']:g} s",
            fault["note"],
        )
        for fault in document["faults"]
        if "recovered_after" in fault
    ]
    short = [fault for fault in document["faults"] if "recovered_after" not in fault]
    names = sorted({fault["name"] for fault in short})
    counts = [(name, str(sum(1 for fault in short if fault["name"] == name))) for name in names]
    return (_table(head, rows) if rows else "") + (_table(("", "times"), counts) if counts else "")


def _settings(document: Document) -> str:
    config, machine = document["config"], document["machine"]
    rows = [(name.replace("_", " "), f"{value}") for name, value in (machine | config).items()]
    rows += [("requests", ", ".join(f"{call} {number:,}" for call, number in document["counts"]["requests"].items()))]
    rows += [("answers", ", ".join(f"{name} {number:,}" for name, number in document["counts"]["outcomes"].items()))]
    rows += [("intents", ", ".join(f"{name} {number:,}" for name, number in document["counts"]["by_intent"].items()))]
    return _table(("", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(text)}</th>" for text in head) if any(head) else ""
    top = f"<thead><tr>{top}</tr></thead>" if top else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    return "100 %" if part == whole else f"{100 * part / whole:.2f} %"


def _number(count: int, noun: str) -> str:
    return f"{count or 'No'} {noun}{'' if count == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"
