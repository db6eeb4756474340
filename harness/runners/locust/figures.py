"""The arithmetic of a load: from samples to figures, and what the generator itself was able to do."""

from __future__ import annotations

import math
from typing import Any

from harness.model.definitions import LoadProfile
from harness.model.results import Cause

#: Share of one core beyond which the generator cannot keep its schedule.
BUSY_PERCENT = 85.0
#: Share of this machine's CPU time beyond which it has none left; and the share that other work may have of it.
FULL_SHARE, OTHERS_SHARE = 0.9, 0.3
#: Share of this machine's CPU time that its hypervisor may give to others (proc(5), /proc/stat: steal).
STEAL_SHARE = 0.1
#: Milliseconds by which 5 % of the generator's own wake-ups may be late; or this share of the threshold.
LAG_MS, LAG_SHARE = 20.0, 0.2

UNITS = {
    "p50": "ms",
    "p95": "ms",
    "p99": "ms",
    "throughput": "1/s",
    "intended rate": "1/s",
    "cpu mean": "%",
    "memory peak": "MiB",
}


def summarise(outcome: dict[str, Any], profile: LoadProfile) -> dict[str, float]:
    """Figures of the hold: latencies in ms from the intended start, rates in 1/s, shares from 0 to 1.

    Latencies and the error rate are there only if a request was answered.
    """
    ramp, hold, rate = outcome["ramp"], outcome["hold"], outcome["rate"]
    samples = [s for s in outcome["samples"] if s[0] >= ramp]
    latencies = sorted(s[1] for s in samples)
    tasks = len({s[0] for s in samples})
    figures = {
        "intended rate": rate,
        "requests": float(len(samples)),
        "achieved": tasks / max(1, int(rate * hold)),
        "throughput": tasks / hold,
    }
    if samples:
        figures |= {f"p{percent}": percentile(latencies, percent) for percent in (50, 95, 99)}
        figures["error rate"] = sum(1 for s in samples if not s[3]) / len(samples)
    resources = outcome["resources"]
    if resources:
        figures["cpu mean"] = sum(r[1] for r in resources) / len(resources)
        figures["memory peak"] = max(r[2] for r in resources)
    return {name: round(value, 4) for name, value in figures.items()}


def percentile(ordered: list[float], percent: float) -> float:
    """Nearest-rank percentile of ascending values, of which there is at least one."""
    return ordered[min(len(ordered), max(1, math.ceil(percent / 100 * len(ordered)))) - 1]


def saturated(outcome: dict[str, Any], profile: LoadProfile) -> tuple[Cause, str] | None:
    """Why the times measured are not the product's: the generator was too slow, or this machine had other work.

    None where they are the product's.
    """
    cpu, lag = outcome["generator cpu"], outcome["lag p95"]
    if cpu > BUSY_PERCENT:
        return Cause.TEST, (
            f"the load generator took {cpu:.0f}% of a core, so it could not keep its schedule: "
            "use a lighter locustfile, or a lower rate"
        )
    limit = max(LAG_MS, LAG_SHARE * profile.p95_ms)
    if lag > limit:
        return Cause.INFRA, (
            f"the load generator was woken {lag:.0f} ms late (p95, limit {limit:.0f} ms): this machine was busy"
        )
    own = cpu + sum(_mean(outcome.get(name, [])) for name in ("resources", "database resources"))
    busy, stolen = outcome["machine busy"], outcome.get("stolen", 0.0)
    if busy > FULL_SHARE and busy * (1 - own / outcome["machine cpu"]) > OTHERS_SHARE:
        return Cause.INFRA, (
            f"this machine was busy with other work: {busy:.0%} of its CPU time was used, and the "
            f"load, the product and its database took {own / outcome['machine cpu']:.0%} of that"
        )
    if stolen > STEAL_SHARE:
        return Cause.INFRA, f"the hypervisor of this machine kept {stolen:.0%} of its CPU time from it (steal)"
    return None


def _mean(resources: list[tuple[float, float, float]]) -> float:
    """The mean use of the CPU over the samples, in percent of one core."""
    return sum(sample[1] for sample in resources) / len(resources) if resources else 0.0
