"""Is a series flat? A robust slope over what was measured after the warm-up, held against a named bound."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

Point = tuple[float, float]
"""Seconds since the load began, and the value then."""

FLAT_MIB_PER_HOUR: Final = 4.0
"""The least Python keeps for an order it forgets to drop (a dict slot, a UUID key, a small value) is some 250 bytes: at
five orders a second 4.3 MiB an hour. So whatever is kept per order is above the bound at that rate, and the noise of an
allocator is below it. At the bound a process is still four days away from the memory limit it is deployed with."""
FLAT_FDS_PER_HOUR: Final = 10.0
"""Descriptors come and go with customers' connections; one lost at every thousandth order is above it."""
HOUR: Final = 3600.0
CONFIDENCE: Final = 1.96
"""Of a normal distribution: 95 %."""


@dataclass(frozen=True)
class Trend:
    """Where a series went. Slopes are per hour; `low` and `high` are the 95 % interval of `slope`.

    `late_slope` is that of the second half alone: what fills up slows down, what leaks does not.
    """

    slope: float
    low: float
    high: float
    late_slope: float
    first: float
    last: float
    most: float
    flat: bool


def theil_sen(points: Sequence[Point]) -> tuple[float, float, float]:
    """The median of the slopes of all pairs, per unit of the abscissa, and its 95 % interval after Sen (1968).

    Up to 29 % of the points may be outliers without moving it far. The interval takes the deviations for independent;
    memory's are not quite, so it is a little too narrow.

    Raises:
        ValueError: fewer than two different abscissae.
    """
    slopes = sorted(
        (later[1] - at[1]) / (later[0] - at[0]) for at, later in combinations(points, 2) if later[0] > at[0]
    )
    if not slopes:
        raise ValueError("a slope needs two points at different times")
    count = len(points)
    spread = CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return statistics.median(slopes), slopes[low], slopes[high]


def trend(points: Sequence[Point], warm_up: float, bound: float) -> Trend:
    """The trend of a series after `warm_up` seconds; flat if its slope is at most `bound` per hour.

    `first`, `last` and `most` are of the whole series, the warm-up too.

    Raises:
        ValueError: fewer than two points are left.
    """
    judged = [point for point in points if point[0] >= warm_up]
    slope, low, high = (round(HOUR * each, 2) for each in theil_sen(judged))
    late = judged[len(judged) // 2 :]
    late_slope = HOUR * theil_sen(late)[0] if len(late) > 1 else slope
    values = [value for _, value in points]
    return Trend(slope, low, high, round(late_slope, 2), values[0], values[-1], max(values), slope <= bound)
