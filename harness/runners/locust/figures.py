"""The arithmetic of a load: from samples to figures, and what the generator itself was able to do."""

from __future__ import annotations

from typing import Any

from harness.model.definitions import LoadProfile
from harness.model.results import Cause
from harness.runners.locust.fitness import words
from harness.system.ranks import percentile

#: Share of one core beyond which the generator cannot keep its schedule.
BUSY_PERCENT = 85.0
#: Share of this machine's CPU time beyond which it has none left; and the share that other work may have of it.
FULL_SHARE, OTHERS_SHARE = 0.9, 0.3
#: Share of this machine's CPU time that its hypervisor may give to others (proc(5), /proc/stat: steal).
STEAL_SHARE = 0.1
#: Milliseconds by which 5 % of the generator's own wake-ups may be late; or this share of the threshold.
LAG_MS, LAG_SHARE = 20.0, 0.2

#: Seconds, and times the response time of what was answered (p95), after which a request that is under way hangs.
HANG_SECONDS, HANG_TIMES = 3.0, 10.0

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

    Latencies and the error rate are there only if a request was answered. Requests that hang when the load ends count
    as errors.
    """
    ramp, hold, rate = outcome["ramp"], outcome["hold"], outcome["rate"]
    samples = [s for s in outcome["samples"] if s[0] >= ramp]
    latencies = sorted(s[1] for s in samples)
    loads = outcome.get("loads", 1)
    tasks = len({s[0] for s in samples}) if loads == 1 else len(samples)
    figures = {
        "intended rate": rate,
        "requests": float(len(samples)),
        "achieved": tasks / loads / max(1, outcome.get("due", int(rate * hold))),
        "throughput": tasks / loads / hold,
    }
    if outcome.get("think") is not None:  # users that wait for answers: the rate is what they came to
        figures["achieved"] = figures["throughput"] / rate
    if samples:
        figures |= {f"p{percent}": percentile(latencies, percent) for percent in (50, 95, 99)}
        hanging = hung(outcome)
        figures["error rate"] = (sum(1 for s in samples if not s[3]) + hanging) / (len(samples) + hanging)
        if hanging:
            figures["hanging"] = float(hanging)
    resources = outcome["resources"]
    if resources:
        figures["cpu mean"] = sum(r[1] for r in resources) / len(resources)
        figures["memory peak"] = max(r[2] for r in resources)
    return {name: round(value, 4) for name, value in figures.items()}


def hung(outcome: dict[str, Any]) -> int:
    """Requests that have a connection to the product, and far longer than those that were answered."""
    answered = sorted(sample[2] for sample in outcome["samples"])
    if not answered:
        return 0
    limit = max(HANG_SECONDS, HANG_TIMES * percentile(answered, 95) / 1000)
    connections: int = outcome.get("connections", 0)
    return min(sum(1 for age in outcome.get("ages", ()) if age > limit), connections)


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
    limit, beside = max(LAG_MS, LAG_SHARE * profile.p95_ms), words(outcome.get("laboratory", {}))
    beside = f" ({beside})" if beside else ""
    if lag > limit:
        return Cause.INFRA, (
            f"the load generator was woken {lag:.0f} ms late (p95, limit {limit:.0f} ms): this machine was busy{beside}"
        )
    if (late := outcome.get("send lateness", {}).get("p95", 0.0)) > limit:
        return Cause.INFRA, (
            f"requests were sent {late:.0f} ms late (p95, limit {limit:.0f} ms), with users that were free: this "
            f"machine was busy{beside}"
        )
    own = cpu + sum(_mean(outcome.get(name, [])) for name in ("resources", "database resources"))
    busy, stolen = outcome["machine busy"], outcome.get("stolen", 0.0)
    if busy > FULL_SHARE and busy * (1 - own / outcome["machine cpu"]) > OTHERS_SHARE:
        return Cause.INFRA, (
            f"this machine was busy with other work: {busy:.0%} of its CPU time was used, and the "
            f"load, the product and its database took {own / outcome['machine cpu']:.0%} of that{beside}"
        )
    if stolen > STEAL_SHARE:
        return Cause.INFRA, f"the hypervisor of this machine kept {stolen:.0%} of its CPU time from it (steal){beside}"
    return None


def _mean(resources: list[tuple[float, float, float]]) -> float:
    """The mean use of the CPU over the samples, in percent of one core."""
    return sum(sample[1] for sample in resources) / len(resources) if resources else 0.0
