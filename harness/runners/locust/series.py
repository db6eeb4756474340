"""The arithmetic of a series in time: means of windows, how far they spread, whether it grows for ever.

The slope is that of Theil and Sen, the median of the slopes between all pairs of points, with Sen's interval of
confidence (P. K. Sen, Journal of the American Statistical Association 63, 1968, 1379-1389): single points far off, such
as a collection of garbage, do not move it. Points of one process are not independent of each other, so that the
interval alone accuses nobody: see ``Growth.leaks``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

#: Seconds since some moment, and a value.
Point = tuple[float, float]

#: Points that a slope is taken of: more of them cost the square of their number, and tell no more.
POINTS = 60
#: Fewer points tell nothing.
FEWEST = 12
#: Of a normal distribution: 95 % lie within so many standard deviations.
Z95 = statistics.NormalDist().inv_cdf(0.975)
#: What a growth must come to until it is a leak: MiB, and share of what there was.
LEAST_MIB, LEAST_SHARE = 2.0, 0.01
#: So many usual steps from point to point, too: less may come of where the points fall.
STEPS = 2.0
#: Each third of the time must have so much of the whole slope: what levels off, or comes in one step, is no leak.
STEADY_SHARE = 0.5


def within(points: Sequence[Point], begin: float, end: float) -> list[Point]:
    """Those of a time."""
    return [point for point in points if begin <= point[0] < end]


def windows(points: Sequence[Point], begin: float, end: float, seconds: float) -> list[float]:
    """The mean of each whole window of so many seconds; a window without points is left out."""
    means = []
    for number in range(int((end - begin) / seconds + 1e-9)):
        values = [value for _, value in within(points, begin + number * seconds, begin + (number + 1) * seconds)]
        means += [statistics.fmean(values)] if values else []
    return means


def spread(values: Sequence[float], whole: float | None = None) -> float:
    """The largest distance of a value from the mean, in percent of ``whole``; of the mean where none is given.

    0 where all are 0. Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    mean = statistics.fmean(values)
    distance = max(abs(value - mean) for value in values)
    base = mean if whole is None else whole
    return 100 * distance / base if base > 0 else 0.0


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most so many points: of each group of neighbours the medians."""
    if len(points) <= most:
        return list(points)
    edges = [round(number * len(points) / most) for number in range(most + 1)]
    groups = [points[low:high] for low, high in pairwise(edges)]
    return [_middle(group) for group in groups]


@dataclass(frozen=True)
class Slope:
    """A slope (units a second) with the 95 % interval around it."""

    value: float
    low: float
    high: float


def slope(points: Sequence[Point]) -> Slope:
    """The slope of Theil and Sen. Raises ValueError with fewer than two moments."""
    slopes = sorted((v - u) / (t - s) for (s, u), (t, v) in combinations(points, 2) if t != s)
    if not slopes:
        raise ValueError("fewer than two moments")
    number = len(points)
    reach = Z95 * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Slope(statistics.median(slopes), slopes[low], slopes[high])


@dataclass(frozen=True)
class Growth:
    """How something grew: its slope (MiB a second), the same of each third of the time, its median (MiB), the rise from
    the lowest of the first third to the lowest of the last, the usual step from point to point (MiB), and the seconds
    between those thirds, and in all."""

    slope: Slope
    thirds: tuple[float, float, float]
    median: float
    rise: float
    step: float
    between: float
    seconds: float

    @classmethod
    def of(cls, points: Sequence[Point]) -> Growth | None:
        """Of points in the order of time; None where they are too few."""
        few = thinned(points)
        if len(few) < FEWEST or few[-1][0] <= few[0][0]:
            return None
        third = len(few) // 3
        parts = (few[:third], few[third:-third], few[-third:])
        return cls(
            slope(few),
            (slope(parts[0]).value, slope(parts[1]).value, slope(parts[2]).value),
            statistics.median(value for _, value in few),
            _low(points[-(len(points) // 3) :]) - _low(points[: len(points) // 3]),
            statistics.median(abs(later - value) for (_, value), (_, later) in pairwise(points)),
            _middle(parts[2])[0] - _middle(parts[0])[0],
            few[-1][0] - few[0][0],
        )

    @property
    def leaks(self) -> bool:
        """Whether it grows without end: surely, by more than a trifle, and in each third of the time alike."""
        grown = self.slope.value * self.seconds
        return (
            self.slope.low > 0
            # Points meet the teeth of a saw a little later each time, which lifts them by a step at most.
            and grown >= max(LEAST_MIB, LEAST_SHARE * self.median, STEPS * self.step)
            and min(self.thirds) >= STEADY_SHARE * self.slope.value
            # The teeth of a saw rise in each third too, and begin as low in the last as in the first.
            and self.rise >= STEADY_SHARE * self.slope.value * self.between
        )


def _low(points: Sequence[Point]) -> float:
    """What 5 % of the values lie below: one value far off is not the lowest."""
    return sorted(value for _, value in points)[len(points) // 20]


def _middle(points: Sequence[Point]) -> Point:
    return statistics.median(t for t, _ in points), statistics.median(value for _, value in points)
