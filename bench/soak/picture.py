"""A run as an SVG: resident memory of each process above, milliseconds from placed to paid below, over its minutes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Final

from bench.results import Document
from ops.config import SERVICES

WIDTH: Final = 860
LEFT: Final = 60
RIGHT: Final = 130
HEIGHT: Final = 190
TOP: Final = 34
GAP: Final = 62
COLOURS: Final = ("#1f6fb2", "#c9803c", "#3d8f5f", "#8a5aa8", "#a33b3b", "#6b7a88", "#2f9aa0", "#b0902b")
STEPS: Final = (1, 2, 5)


@dataclass(frozen=True)
class Line:
    """A name and its points: minutes, and the value then."""

    name: str
    points: Sequence[tuple[float, float]]


def soak_picture(document: Document | None) -> str:
    """The picture of a run; without one an empty one."""
    panels = list(_panels(document)) if document else []
    height = (HEIGHT + GAP) * max(1, len(panels)) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>An hour of steady load: memory of each process, and time from placed to paid</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        parts += _panel(title, lines, TOP + number * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panels(document: Document) -> Iterator[tuple[str, list[Line]]]:
    windows = document["windows"]
    memory = [
        Line(
            f"{name}_svc" if name in SERVICES else name,
            [(window["at"] / 60, window["look"]["uses"][name]["rss_mib"]) for window in windows],
        )
        for name in document["memory"]
    ]
    yield "MiB resident", memory
    answered = [window for window in windows if window["paid_ms"]]
    yield (
        "ms from placed to paid",
        [Line(part, [(window["at"] / 60, window["paid_ms"][part]) for window in answered]) for part in ("p50", "p95")],
    )


def _panel(title: str, lines: Sequence[Line], top: int) -> Iterator[str]:
    """One chart from zero, its lines named at their ends."""
    most = max((value for line in lines for _, value in line.points), default=1.0)
    minutes = max((at for line in lines for at, _ in line.points), default=1.0)
    step = _step(most)
    ceiling = step * (int(most / step) + 1)
    across, up = (WIDTH - LEFT - RIGHT) / minutes, HEIGHT / ceiling
    yield f'<text x="10" y="{top - 12}" font-weight="bold" fill="#123">{escape(title)}</text>'
    for mark in range(int(ceiling / step) + 1):
        y = top + HEIGHT - mark * step * up
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dde3e8"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#456">{mark * step:,.0f}</text>'
    for minute in _minutes(minutes):
        x = LEFT + minute * across
        yield f'<text x="{x:.1f}" y="{top + HEIGHT + 18}" text-anchor="middle" fill="#456">{minute:g} min</text>'
    names = _apart([top + HEIGHT - line.points[-1][1] * up for line in lines if line.points])
    for line, colour, y in zip([line for line in lines if line.points], cycle(COLOURS), names, strict=False):
        path = "L".join(f"{LEFT + at * across:.1f} {top + HEIGHT - value * up:.1f}" for at, value in line.points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        text = f"{line.name} {line.points[-1][1]:,.0f}"
        yield f'<text x="{WIDTH - RIGHT + 6}" y="{y + 4:.1f}" fill="{colour}">{escape(text)}</text>'


def _step(most: float) -> float:
    """Between two marks: 1, 2 or 5 times a power of ten, four to ten of them up to the most."""
    power = 1.0
    while power * 10 * 4 <= most:
        power *= 10
    return next((power * factor for factor in STEPS if most / (power * factor) <= 6), power * 10)


def _minutes(minutes: float) -> Iterator[float]:
    parts = 6
    return (round(minutes * part / parts, 1 if minutes < parts else 0) for part in range(parts + 1))


def _apart(heights: Sequence[float], space: float = 14.0) -> list[float]:
    """The same heights, moved up as far as it takes that no name covers another."""
    placed: dict[int, float] = {}
    highest = float("inf")
    for number in sorted(range(len(heights)), key=lambda each: -heights[each]):
        highest = min(heights[number], highest - space)
        placed[number] = highest
    return [placed[number] for number in range(len(heights))]
