"""Whether a product's use of its machine stays as it is under an even load: spread, growth, new trouble in the log."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.definitions import Limits, LoadProfile, size_in_bytes
from harness.model.results import Measurement
from harness.runners.locust.series import Growth, Point, spread, windows, within

#: Fewer windows show no spread.
FEWEST_WINDOWS = 3
#: MiB a second below which disk and network are as good as idle: what is next to nothing spreads as it likes.
IDLE_RATE = 0.1
#: Lines of the system's log that are shown.
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """What one criterion saw. ``good`` is None where it does not apply, or (``unknown``) could not be looked at."""

    good: bool | None
    text: str
    measured: tuple[Measurement, ...] = ()
    unknown: bool = False


def steadiness(test: str, outcome: Mapping[str, Any], profile: LoadProfile, limits: Limits) -> Steadiness:
    """One of ``STEADY`` by what was sampled beside the load; ``limits``: what the product's machine has at most."""
    if test == "system_log":
        return _log(outcome.get("system log"))
    if test == "memory_leak":
        return _growth(_points(outcome, "memory"), outcome, profile)
    kind = test.removesuffix("_spread")
    points = _points(outcome, kind)
    if points is None:
        return Steadiness(
            good=None, text=f"the target's machine does not show its {kind} from here / 此目标无法从外部观测"
        )
    if lacking := _lacking(points, profile):
        return Steadiness(good=None, text=lacking, unknown=True)
    values = windows(points, *_held(points, profile), profile.window)
    unit, whole = {
        "cpu": ("%", 100.0 * limits.cpus),
        "memory": ("MiB", size_in_bytes(limits.memory) / 2**20),
    }.get(kind, ("MiB/s", None))
    mean = statistics.fmean(values)
    distance = spread(values, whole)
    measured = (
        Measurement(name=f"{kind} spread", value=round(distance, 2), unit="%"),
        Measurement(name=f"{kind} mean", value=round(mean, 3), unit=unit),
        Measurement(name=f"{kind} windows", value=len(values), unit="1"),
    )
    base = "of what the machine may use" if whole is not None else "of the mean"
    text = (
        f"the largest distance of {len(values)} windows of {profile.window:g} s from their mean ({mean:.3g} {unit}) is "
        f"{distance:.2f} % {base}, threshold {profile.spread:g} %"
    )
    if whole is None and max(values) < IDLE_RATE:
        return Steadiness(good=True, text=f"{text}; below {IDLE_RATE} MiB/s it is as good as idle", measured=measured)
    return Steadiness(good=distance <= profile.spread, text=text, measured=measured)


#: Criteria of this module -> whether a generator or a machine that was busy with other work excuses a failure.
STEADY: Mapping[str, bool] = {
    "cpu_spread": True,
    "memory_spread": False,
    "disk_spread": True,
    "network_spread": True,
    "memory_leak": False,
    "system_log": False,
}


def _points(outcome: Mapping[str, Any], kind: str) -> list[Point] | None:
    """Moments (s) and values: CPU in percent of a core, memory in MiB, disk and network in MiB/s; None: not seen."""
    name, index = {
        "cpu": ("resources", 1),
        "memory": ("resources", 2),
        "disk": ("transfers", 1),
        "network": ("transfers", 2),
    }[kind]
    points = [(sample[0], sample[index]) for sample in outcome.get(name) or [] if sample[index] is not None]
    return points or None


def _held(points: list[Point], profile: LoadProfile) -> tuple[float, float]:
    """When the load was held, without its first and its last seconds: sampling ends together with the load."""
    last = points[-1][0]
    return max(0.0, last - profile.hold + profile.drop), last - profile.drop


def _lacking(points: list[Point], profile: LoadProfile) -> str:
    """What of the hold was not sampled; empty where each of its windows was."""
    begin, end = _held(points, profile)
    sampled = len(windows(points, begin, end, profile.window))
    wanted = max(FEWEST_WINDOWS, int((profile.hold - 2 * profile.drop) / profile.window + 1e-9))
    if points[-1][0] < profile.hold:
        return (
            f"samples end after {points[-1][0]:.0f} s of a load of {profile.hold:g} s / 采样在负载结束前中断，"
            f"仅 {points[-1][0]:.0f} 秒"
        )
    if sampled < wanted:
        return (
            f"{sampled} windows of {profile.window:g} s were sampled, {wanted} are needed / 采样窗口 {sampled} 个，"
            f"需要 {wanted} 个"
        )
    return ""


def _growth(points: list[Point] | None, outcome: Mapping[str, Any], profile: LoadProfile) -> Steadiness:
    if points is None:
        return Steadiness(
            good=None, text="the target's machine does not show its memory from here / 此目标无法从外部观测"
        )
    if lacking := _lacking(points, profile):
        return Steadiness(good=None, text=lacking, unknown=True)
    held = within(points, *_held(points, profile))
    growth = Growth.of(held)
    if growth is None:
        return Steadiness(good=None, text=f"{len(held)} samples of memory are too few for a slope", unknown=True)
    hour = [each * 3600 for each in (growth.slope.value, growth.slope.low, growth.slope.high)]
    requests = sum(1 for sample in outcome.get("samples", ()) if sample[0] >= outcome.get("ramp", 0))
    text = (
        f"memory grew by {growth.slope.value * growth.seconds:.2f} MiB in {growth.seconds:.0f} s under {requests} "
        f"requests: {hour[0]:.1f} MiB/h, with 95 % confidence between {hour[1]:.1f} and {hour[2]:.1f}; median "
        f"{growth.median:.1f} MiB"
    )
    names = ("memory slope", "memory slope low", "memory slope high")
    measured = tuple(
        Measurement(name=name, value=round(value, 2), unit="MiB/h") for name, value in zip(names, hour, strict=True)
    )
    if growth.leaks:
        return Steadiness(
            good=False, text=f"{text}; it grew in each third of the time and did not level off", measured=measured
        )
    return Steadiness(good=True, text=f"{text}; no growth without end was seen in that time", measured=measured)


def _log(lines: Any) -> Steadiness:
    if lines is None:
        text = "the target keeps no system log that could be read (a container has none) / 目标无系统日志"
        return Steadiness(good=None, text=text)
    if isinstance(lines, str):
        return Steadiness(good=None, text=lines, unknown=True)
    measured = (Measurement(name="new warnings and errors", value=len(lines), unit="1"),)
    if lines:
        shown = "\n".join(lines[:SHOWN])
        text = f"{len(lines)} new lines of the system log tell of trouble:\n{shown}"
        return Steadiness(good=False, text=text, measured=measured)
    text = "nothing new in the system log tells of trouble / 系统日志无新增告警、错误与失败"
    return Steadiness(good=True, text=text, measured=measured)
