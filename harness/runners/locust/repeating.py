"""Several loads of the same profile as a single result: raw samples together, and how far the loads lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from harness.model.definitions import LoadProfile
from harness.runners.locust.figures import summarise

#: Two-sided 95 % quantiles of Student's t distribution by degrees of freedom (ISO 2602:1980, table 1).
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
#: Figures whose spread over the loads is given.
SPREAD = ("p50", "p95", "p99", "throughput")


def together(outcomes: Sequence[dict[str, Any]], profile: LoadProfile) -> dict[str, Any]:
    """One outcome of several: percentiles are taken of all samples, never averaged; what disturbed a load is that of
    the worst. ``repetitions`` has the figures of each, ``spread`` the mean of each figure with its 95 % interval."""
    last = outcomes[-1]
    if len(outcomes) == 1:
        return last
    each = [summarise(outcome, profile) for outcome in outcomes]
    worst = max(outcomes, key=lambda outcome: (outcome["lag p95"], outcome["machine busy"]))
    disturbed = ("lag p95", "send lateness", "machine busy", "machine cpu", "stolen", "laboratory", "generator cpu")
    errors: dict[str, int] = {}
    for outcome in outcomes:
        for text, count in outcome["errors"].items():
            errors[text] = errors.get(text, 0) + count
    return {
        **last,
        **{name: worst[name] for name in disturbed if name in worst},
        "samples": [sample for outcome in outcomes for sample in outcome["samples"]],
        "ages": [age for outcome in outcomes for age in outcome.get("ages", ())],
        "connections": sum(outcome.get("connections", 0) for outcome in outcomes),
        "errors": errors,
        "loads": len(outcomes),
        "repetitions": each,
        "spread": {name: interval([figures[name] for figures in each]) for name in SPREAD if name in each[0]},
    }


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean of two to ten values, and the ends of its 95 % interval: mean ± t·s/√n (ISO 2602:1980, 6)."""
    mean = statistics.fmean(values)
    reach = T95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": round(mean, 3), "low": round(mean - reach, 3), "high": round(mean + reach, 3)}
