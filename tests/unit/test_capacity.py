"""The search for the rate at which limits are left, against servers whose answer is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.definitions import LoadProfile, RateSearch
from harness.runners.locust.capacity import Knee, Step, find_knee

SEARCH = RateSearch(least=10, most=2000, seconds=5, precision=0.1)
PROFILE = LoadProfile(rate=20, p95_ms=250, error_rate=0.01)


def step(rate: float, *, holds: bool | None, why: str = "") -> Step:
    return Step(
        rate=rate, holds=holds, why=why or ("" if holds else "slow"), p95=9, errors=0, achieved=1, throughput=rate
    )


def searched(holds: Callable[[float], bool | None], search: RateSearch = SEARCH) -> Knee:
    return find_knee(lambda rate: step(rate, holds=holds(rate)), search)


@given(st.floats(min_value=10, max_value=1999), st.sampled_from([0.02, 0.1, 0.5]))
def test_the_knee_lies_between_its_ends_and_they_are_close(knee: float, precision: float) -> None:
    seen = searched(lambda rate: rate <= knee, SEARCH.model_copy(update={"precision": precision}))
    assert seen.high is not None
    assert seen.low <= knee < seen.high <= seen.low * (1 + precision) * (1 + 1e-9)
    assert seen.why == "slow"
    for end in (seen.low, seen.high):
        assert sum(1 for each in seen.steps if each.rate == end) >= 2, "an end rests on a single load"


@pytest.mark.parametrize(("knee", "low", "high"), [(5.0, 0.0, 10.0), (5000.0, 2000.0, None)])
def test_a_product_below_the_least_rate_and_one_beyond_the_most(knee: float, low: float, high: float | None) -> None:
    seen = searched(lambda rate: rate <= knee)
    assert (seen.low, seen.high) == (low, high)
    assert bool(seen.why)


def test_a_laboratory_that_is_busy_ends_the_search_and_accuses_nobody() -> None:
    seen = find_knee(
        lambda rate: step(rate, holds=True) if rate < 100 else step(rate, holds=None, why="this machine was busy"),
        SEARCH,
    )
    assert (seen.low, seen.high, seen.why) == (80.0, None, "this machine was busy")


def test_a_single_load_that_was_disturbed_decides_nothing() -> None:
    """Each first load of a rate fails, as by a pause that nobody sees; the others are right."""
    times: dict[float, int] = {}

    def holds(rate: float) -> bool:
        times[rate] = times.get(rate, 0) + 1
        return rate <= 300 and times[rate] != 1

    seen = searched(holds)
    assert seen.high is not None
    assert seen.low <= 300 < seen.high


def queue(rate: float, service: float, seconds: float, seed: int) -> dict[str, Any]:
    """What the driver reports of a server with one place: Poisson arrivals, exponential service (M/M/1)."""
    chance, clock, free, samples = random.Random(seed), 0.0, 0.0, []
    while (clock := clock + chance.expovariate(rate)) < seconds:
        free = max(free, clock) + chance.expovariate(1 / service)
        samples.append((clock, 1000 * (free - clock), 1000 * service, True))
    quiet = {"generator cpu": 10.0, "lag p95": 1.0, "machine busy": 0.5, "machine cpu": 100.0}
    return {"ramp": 0, "hold": seconds, "rate": rate, "samples": samples, "resources": [], "due": len(samples), **quiet}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_knee_of_a_known_queue_is_that_of_theory(seed: int) -> None:
    """The time in an M/M/1 queue is exponential with mean 1/(mu - lambda), so p95 = ln 20 / (mu - lambda)
    (L. Kleinrock, Queueing Systems I, 1975, 3.2)."""
    service, limit = 0.005, 0.05
    theory = 1 / service - math.log(20) / limit
    profile = PROFILE.model_copy(update={"p95_ms": 1000 * limit})
    numbers = iter(range(1000 * seed, 1000 * seed + 1000))
    seen = find_knee(
        lambda rate: Step.of(queue(rate, service, 120, next(numbers)), profile),
        SEARCH.model_copy(update={"precision": 0.05}),
    )
    assert seen.high is not None
    assert math.sqrt(seen.low * seen.high) == pytest.approx(theory, rel=0.1)
