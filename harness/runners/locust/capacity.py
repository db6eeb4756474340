"""Finds the rate up to which a product keeps its limits, goes beyond it, and sees whether the product recovers.

The rate is doubled until the limits are left, then the interval is halved by its geometric mean. Two of three loads
decide on each end, so that neither rests on a single load (GB/T 39788-2021, 负载测试与压力测试).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from harness.model.definitions import LoadProfile, RateSearch
from harness.runners.locust.figures import saturated, summarise

#: Loads of a rate at most, where the first of them do not agree; the majority decides.
REPEATS = 3


@dataclass(frozen=True)
class Step:
    """One load at one rate. ``holds`` is None where the laboratory leaves it open; ``why`` says what left the limits.

    ``rate`` and ``throughput`` are in 1/s, ``p95`` is in ms, ``errors`` and ``achieved`` are shares.
    """

    rate: float
    holds: bool | None
    why: str
    p95: float | None
    errors: float | None
    achieved: float
    throughput: float

    @classmethod
    def of(cls, outcome: dict[str, Any], profile: LoadProfile) -> Step:
        """What a load of the driver showed."""
        figures = summarise(outcome, profile)
        why = _left(figures, profile)
        lab = saturated(outcome, profile) if why else None
        return cls(
            rate=outcome["rate"],
            holds=None if lab is not None else not why,
            why=lab[1] if lab is not None else why,
            p95=figures.get("p95"),
            errors=figures.get("error rate"),
            achieved=figures["achieved"],
            throughput=figures["throughput"],
        )


@dataclass(frozen=True)
class Knee:
    """``low`` holds and ``high`` does not, in 1/s: the rate at which limits are left lies between. ``low`` is 0 where
    not even the least rate held; ``high`` is None where the search ended before the product did, and ``why`` says by
    what."""

    low: float
    high: float | None
    why: str
    steps: tuple[Step, ...]

    @property
    def record(self) -> dict[str, Any]:
        """It as JSON has it."""
        return asdict(self)


def find_knee(measure: Callable[[float], Step], search: RateSearch) -> Knee:
    """The interval in which the limits are left; ``measure`` puts one load of a rate (1/s) on the product."""
    steps: list[Step] = []

    def decided(rate: float, *, at_once: bool = False) -> Step:
        """The step that stands for a rate: of the majority, or the first where it holds and ``at_once``."""
        loads: list[Step] = []
        while True:
            step = measure(rate)
            steps.append(step)
            loads.append(step)
            good = [each for each in loads if each.holds]
            bad = [each for each in loads if not each.holds]
            if step.holds is None or (at_once and len(loads) == 1 and step.holds):
                return step
            if max(len(good), len(bad)) > REPEATS / 2:
                return (good if len(good) > len(bad) else bad)[-1]

    def knee(low: float, high: float | None, why: str) -> Knee:
        return Knee(low, high, why, tuple(steps))

    held, step = [0.0], decided(search.least, at_once=True)
    while step.holds and step.rate < search.most:
        held.append(step.rate)
        step = decided(min(2 * step.rate, search.most), at_once=True)
    if step.holds:
        return knee(step.rate, None, f"the profile goes no further than {search.most:g}/s")
    if step.holds is None:
        return knee(held[-1], None, step.why)
    high, why = step.rate, step.why
    while held[-1] and high / held[-1] > 1 + search.precision:
        step = decided(math.sqrt(held[-1] * high))
        if step.holds is None:
            return knee(held[-1], None, step.why)
        if step.holds:
            held.append(step.rate)
        else:
            high, why = step.rate, step.why
    while held[-1] and sum(1 for each in steps if each.rate == held[-1]) == 1:  # one load of the doubling: again
        step = decided(held[-1])
        if step.holds is None:
            return knee(held[-2], None, step.why)
        if not step.holds:
            high, why = held.pop(), step.why
    return knee(held[-1], high, why)


def _left(figures: dict[str, float], profile: LoadProfile) -> str:
    """Which limits were left; empty where all were kept."""
    if "p95" not in figures:
        return "no request was answered"
    left = []
    if figures["error rate"] > profile.error_rate:
        left.append(f"error rate {figures['error rate']:.2%}")
    if figures["p95"] > profile.p95_ms:
        left.append(f"p95 {figures['p95']:.0f} ms")
    if figures["achieved"] < profile.achieved:
        left.append(f"{figures['achieved']:.0%} of the rate achieved")
    return ", ".join(left)
