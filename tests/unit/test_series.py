"""Spread and slope of series that are known: a leak is found, and noise, steps, saw teeth and warm caches are none."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.runners.locust.series import Growth, Point, slope, spread, thinned, windows

TIMES = [0.5 * number for number in range(240)]
seeds = st.integers(min_value=0, max_value=2**32)


def series(shape: object, noise: float = 0.0, seed: int = 1) -> list[Point]:
    chance = random.Random(seed)
    return [(t, shape(t) + chance.uniform(-noise, noise)) for t in TIMES]  # type: ignore[operator]


def leaks(points: list[Point]) -> bool:
    growth = Growth.of(points)
    assert growth is not None
    return growth.leaks


def test_the_mean_of_each_whole_window() -> None:
    points = [(float(t), float(t // 10)) for t in range(35)]
    assert windows(points, 0, 35, 10) == [0, 1, 2]
    assert windows(points, 10, 30, 10) == [1, 2]
    assert windows([], 0, 30, 10) == []


@pytest.mark.parametrize(
    ("values", "whole", "percent"),
    [([5, 5, 5], None, 0), ([90, 100, 110], None, 10), ([10, 30], 100, 10), ([0, 0], None, 0), ([7], None, 0)],
)
def test_the_spread_is_the_largest_distance_from_the_mean(
    values: list[float], whole: float | None, percent: float
) -> None:
    assert spread(values, whole) == pytest.approx(percent)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


@given(
    a=st.floats(min_value=-100, max_value=100),
    b=st.floats(min_value=-1e3, max_value=1e3),
    number=st.integers(min_value=2, max_value=40),
)
def test_the_slope_of_a_line_is_that_of_the_line(a: float, b: float, number: int) -> None:
    line = slope([(float(t), a * t + b) for t in range(number)])
    assert line.value == pytest.approx(a, abs=1e-6)
    assert line.low <= line.value <= line.high


def test_a_few_points_far_off_do_not_move_the_slope() -> None:
    points = [(float(t), 2.0 * t) for t in range(40)]
    for wild in (3, 17, 30):
        points[wild] = (points[wild][0], 1e6)
    assert slope(points).value == pytest.approx(2, rel=0.05)


def test_the_interval_holds_the_slope_of_noise_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        chance = random.Random(seed)
        found = slope([(float(t), chance.gauss(0, 1)) for t in range(40)])
        held += found.low <= 0 <= found.high
    assert held >= 180


@given(seed=seeds, rate=st.floats(min_value=0.05, max_value=50), base=st.floats(min_value=0, max_value=400))
def test_a_leak_is_found_in_noise(seed: int, rate: float, base: float) -> None:
    grown = rate * TIMES[-1]
    if grown < 1.2 * max(2, 0.01 * (base + grown / 2)):
        return
    assert leaks(series(lambda t: base + rate * t, noise=0.1 * grown, seed=seed))


@given(seed=seeds, noise=st.floats(min_value=0, max_value=200), base=st.floats(min_value=200, max_value=4000))
def test_noise_is_no_leak(seed: int, noise: float, base: float) -> None:
    assert not leaks(series(lambda _: base, noise=noise, seed=seed))


@given(
    seed=seeds,
    size=st.floats(min_value=1, max_value=2000),
    moment=st.floats(min_value=0, max_value=120),
    steps=st.integers(min_value=1, max_value=2),
)
def test_steps_are_no_leak(seed: int, size: float, moment: float, steps: int) -> None:
    second = (moment + 60) % 120
    assert not leaks(
        series(lambda t: 100 + size * (t > moment) + size * (steps > 1 and t > second), noise=0.01, seed=seed)
    )


@given(seed=seeds, size=st.floats(min_value=1, max_value=500), speed=st.floats(min_value=2, max_value=25))
def test_what_levels_off_is_no_leak(seed: int, size: float, speed: float) -> None:
    assert not leaks(series(lambda t: 50 + size * (1 - math.exp(-t / speed)), noise=0.2, seed=seed))


@example(seed=0, size=35.0, period=7.96875)  # each tooth is met a little later than the one before
@given(seed=seeds, size=st.floats(min_value=1, max_value=300), period=st.floats(min_value=2, max_value=30))
def test_the_saw_teeth_of_a_collector_are_no_leak(seed: int, size: float, period: float) -> None:
    assert not leaks(series(lambda t: 100 + size * (t % period) / period, noise=0.1, seed=seed))


def test_a_leak_below_saw_teeth_is_found() -> None:
    assert leaks(series(lambda t: 100 + 20 * (t % 7) / 7 + 0.5 * t, noise=0.5))


def test_a_trifle_is_no_leak() -> None:
    assert not leaks(series(lambda t: 500 + 0.01 * t))


def test_too_few_points_tell_nothing() -> None:
    assert Growth.of([(float(t), float(t)) for t in range(11)]) is None
    assert Growth.of([(1.0, 1.0)] * 30) is None


@given(number=st.integers(min_value=1, max_value=500))
def test_a_series_is_thinned_to_medians_of_neighbours(number: int) -> None:
    few = thinned([(float(t), float(t)) for t in range(number)])
    assert len(few) == min(number, 60)
    assert few == sorted(few)
    assert statistics.fmean(v for _, v in few) == pytest.approx((number - 1) / 2, abs=5)
