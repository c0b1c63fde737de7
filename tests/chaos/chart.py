"""Line charts over time as inline SVG, with bands for what was done to the shop meanwhile. Colours are the page's."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

LEFT: Final = 46.0
RIGHT: Final = 10.0
TOP: Final = 22.0
BOTTOM: Final = 26.0
LETTER: Final = 6.0
"""About how wide a letter of a band's name is."""
NICE_SECONDS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Line:
    """A series: second → value; a None is a gap. `style` is a class of the page's style sheet."""

    label: str
    style: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time in which something was wrong."""

    label: str
    style: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Frame:
    """What all charts of a page share: how wide they are, the seconds they span, bands, and short events as ticks."""

    width: float
    seconds: float
    bands: Sequence[Band]
    ticks: Sequence[float]
    height: float = 230.0

    def x(self, second: float) -> float:
        return LEFT + (self.width - LEFT - RIGHT) * min(second, self.seconds) / max(self.seconds, 1.0)

    @property
    def floor(self) -> float:
        return self.height - BOTTOM


class _Scale:
    """Values to heights: linear from zero, or by powers of ten."""

    def __init__(self, frame: Frame, largest: float, *, logarithmic: bool) -> None:
        self._frame = frame
        self._log = logarithmic
        self.marks = _decades(largest) if logarithmic else _round_marks(largest)

    def y(self, value: float) -> float:
        low, high = self.marks[0], self.marks[-1]
        share = math.log10(max(value, low) / low) / math.log10(high / low) if self._log else value / high
        return self._frame.floor - (self._frame.floor - TOP) * min(1.0, share)


def chart(name: str, frame: Frame, lines: Sequence[Line], *, logarithmic: bool = False) -> str:
    """One chart. `name` is what a screen reader says."""
    largest = max((value for line in lines for _, value in line.points if value is not None), default=1.0)
    scale = _Scale(frame, largest, logarithmic=logarithmic)
    parts = [
        f'<svg viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" aria-label="{escape(name)}">',
        *_bands(frame),
        *_grid(frame, scale),
        *_ticks(frame),
        *(_line(frame, scale, line) for line in lines),
        "</svg>",
    ]
    return "".join(parts)


def smooth(values: Sequence[float], over: int) -> list[tuple[float, float | None]]:
    """The mean of `over` seconds around each second: people come at random, and single seconds say little."""
    half = over // 2
    windows = (values[max(0, at - half) : at + half + 1] for at in range(len(values)))
    return [(at + 0.5, sum(window) / len(window)) for at, window in enumerate(windows)]


def _bands(frame: Frame) -> Iterator[str]:
    for band in frame.bands:
        left, right = frame.x(band.begin), frame.x(band.end)
        width = max(2.0, right - left)
        yield (
            f'<g class="band {band.style}"><title>{escape(band.label)}, {band.begin:.0f} to {band.end:.0f} s</title>'
            f'<rect x="{left:.1f}" y="{TOP - 14:g}" width="{width:.1f}" height="{frame.floor - TOP + 14:.1f}"/>'
        )
        if len(band.label) * LETTER < width:
            yield f'<text x="{left + 4:.1f}" y="{TOP - 3:g}">{escape(band.label)}</text>'
        yield "</g>"


def _grid(frame: Frame, scale: _Scale) -> Iterator[str]:
    for mark in scale.marks:
        y = scale.y(mark)
        yield f'<line class="grid" x1="{LEFT:g}" x2="{frame.width - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="axis" text-anchor="end" x="{LEFT - 6:g}" y="{y + 4:.1f}">{_short(mark)}</text>'
    step = next((s for s in NICE_SECONDS if frame.seconds / s <= frame.width / 75), NICE_SECONDS[-1])
    second = 0
    while second <= frame.seconds:
        x = frame.x(second)
        yield f'<text class="axis" text-anchor="middle" x="{x:.1f}" y="{frame.height - 6:g}">{_clock(second)}</text>'
        second += step


def _ticks(frame: Frame) -> Iterator[str]:
    for second in frame.ticks:
        x = frame.x(second)
        yield f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.floor + 1:.1f}" y2="{frame.floor + 7:.1f}"/>'


def _line(frame: Frame, scale: _Scale, line: Line) -> str:
    path, pen_down = [], False
    for second, value in line.points:
        if value is None or second > frame.seconds:
            pen_down = False
            continue
        path.append(f"{'L' if pen_down else 'M'}{frame.x(second):.1f} {scale.y(value):.1f}")
        pen_down = True
    return f'<path class="line {line.style}" d="{"".join(path)}"/>'


def _round_marks(largest: float) -> list[float]:
    """About four steps of 1, 2 or 5 times a power of ten, from zero to above the largest value."""
    raw = max(largest, 1.0) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [step * number for number in range(math.ceil(max(largest, 1.0) / step) + 1)]


def _decades(largest: float) -> list[float]:
    return [10.0**power for power in range(max(1, math.ceil(math.log10(max(largest, 10.0)))) + 1)]


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _clock(second: float) -> str:
    return f"{int(second) // 60}:{int(second) % 60:02d}"
