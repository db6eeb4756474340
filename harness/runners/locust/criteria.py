"""What a load says of the product: nothing where the locustfile or the generator failed, else by its criteria.

What is answered, and whether the product stays alive, counts on every target. How fast it is counts on the declared
hardware; on emulated targets, and in containers unless the matrix or the profile says so, it is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.control.fault import ProductFault
from harness.model.context import CellContext
from harness.model.definitions import Case, Limits, LoadProfile
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason
from harness.runners.locust.figures import UNITS, saturated
from harness.runners.locust.steady import STEADY, steadiness

#: Criterion -> the figures that are recorded with it.
CRITERIA = {
    "p95": ("p50", "p95", "p99"),
    "error_rate": ("error rate", "requests", "hanging"),
    "throughput": ("throughput", "intended rate", "achieved", "cpu mean", "memory peak"),
}


#: Criteria of how fast or how even the product is; the others ask what it answers and whether it lasts.
SPEED = frozenset(("p95", "throughput", "cpu_spread", "memory_spread", "disk_spread", "network_spread"))


#: Seconds of a hold from which a growth of memory is judged on an emulated target: before, its emulator's own memory
#: grows with each part of the program that it translates for the first time.
TRANSLATED_SECONDS = 600


@dataclass(frozen=True)
class Target:
    """What the target of a load can show: ``judged`` where speed counts on it."""

    emulated: bool
    judged: bool

    @property
    def why(self) -> str:
        """Why speed is recorded only."""
        if self.emulated:
            return "recorded only, an emulated target shows no performance / 仅记录，仿真目标不能体现性能"
        return (
            "recorded only, a container shares its processors with whatever else its machine does "
            "(require.performance of the matrix, or judged_in_containers of the profile, has it judged) / "
            "仅记录，容器与本机其他工作共用处理器"
        )


def target_of(context: CellContext, profile: LoadProfile) -> Target:
    """What the target of a cell can show under a profile."""
    judged = context.judges_performance or (profile.judged_in_containers and not context.emulated)
    return Target(emulated=context.emulated, judged=judged)


@dataclass(frozen=True)
class Trouble:
    """Why no criterion can be judged: the result of all cases."""

    result: Result
    cause: Cause | None
    text: str


def trouble_of(
    outcome: dict[str, Any], profile: LoadProfile, crashed: ProductFault | None, *, emulated: bool = False
) -> Trouble | None:
    """What is wrong before any figure counts; None where figures count."""
    if "broken" in outcome:
        return Trouble(Result.ERROR, Cause.TEST, f"the locustfile is broken: {outcome['broken']}")
    if outcome["exceptions"]:
        kinds = ", ".join(f"{count} × {name}" for name, count in outcome["exceptions"].items())
        refused = "".join(f"\nfailed requests: {count} × {text}" for text, count in outcome["errors"].items())
        return Trouble(
            Result.ERROR, Cause.TEST, f"the locustfile raised {kinds}; the first: {outcome['exception']}{refused}"
        )
    if outcome["users"] > profile.users:
        return Trouble(
            Result.ERROR,
            Cause.TEST,
            f"the locustfile started {outcome['users']} users itself; its profile says at most {profile.users}",
        )
    if any(sample[0] >= outcome["ramp"] for sample in outcome["samples"]):
        return None
    trouble = _without_samples(outcome, crashed)
    if emulated and crashed is None and trouble.result is Result.FAIL:
        words = f"{trouble.text}; whether the product hangs or its emulator was too slow for the load is not known"
        return Trouble(Result.ERROR, Cause.INFRA, words)
    return trouble


def _without_samples(outcome: dict[str, Any], crashed: ProductFault | None) -> Trouble:
    """No request of the hold was answered: the product's failure only if requests were under way."""
    if crashed is not None:
        return Trouble(Result.FAIL, None, f"no request was answered, the product ended: {crashed}\n{crashed.log}")
    begun, under_way = outcome["finished"] + outcome["under way"], outcome["under way"]
    if not outcome["intended"]:
        return Trouble(Result.ERROR, Cause.TEST, "the profile plans no request: rate times hold is less than 1")
    if under_way and outcome["connections"]:
        seconds = outcome["ramp"] + outcome["hold"]
        return Trouble(
            Result.FAIL,
            None,
            f"the product answered no request: {under_way} were under way on {outcome['connections']} connections when "
            f"the load ended after {seconds:.0f} s",
        )
    if not outcome["samples"]:
        ended = f"{outcome['silent']} of {begun} tasks ended without one" if begun else "no user of it began a task"
        hanging = f", {under_way} did not end and have no connection to the product" if under_way else ""
        return Trouble(Result.ERROR, Cause.TEST, f"the locustfile sent no request: {ended}{hanging}")
    return Trouble(Result.ERROR, Cause.TEST, "the locustfile sent no request after the ramp, so nothing was measured")


def criterion(
    case: Case,
    suite: str,
    outcome: dict[str, Any],
    profile: LoadProfile,
    figures: dict[str, float],
    crashed: ProductFault | None,
    *,
    target: Target,
    limits: Limits | None = None,
) -> Observation:
    """One criterion by the figures of a hold in which requests were answered; ``limits``: of the product's machine."""
    if case.test in STEADY:
        if crashed is not None:
            text = f"the product ended during the load / 负载期间产品退出: {crashed}"
            return Observation(case=case.id, suite=suite, result=Result.FAIL, detail=text)
        return _steady(case, suite, outcome, profile, limits or Limits(), target)
    if case.test not in CRITERIA:
        known = ", ".join([*CRITERIA, *STEADY])
        text = f"unknown load criterion {case.test!r}; known: {known}"
        return Observation(case=case.id, suite=suite, result=Result.MISS, cause=Cause.TEST, detail=text)
    good, text = _judged(case.test, profile, figures)
    measured = tuple(
        Measurement(name=name, value=figures[name], unit=UNITS.get(name, "1"))
        for name in CRITERIA[case.test]
        if name in figures
    ) + _intervals(case.test, outcome)

    def observation(result: Result, text: str, **more: Any) -> Observation:
        return Observation(case=case.id, suite=suite, result=result, measurements=measured, detail=text, **more)

    if crashed is not None:
        good = good and case.test in SPEED
        text = f"{text}; the product ended during the load: {crashed}"
    if not target.judged and case.test in SPEED:
        return observation(Result.RECORDED, _recorded(target, text, outcome, profile))
    excusable = crashed is None and not good and _excusable(case, figures, target)
    if excusable and (why := saturated(outcome, profile)) is not None:
        return observation(**_unfit(case, why, text))
    return observation(Result.PASS if good else Result.FAIL, text)


def _unfit(case: Case, why: tuple[Cause, str], text: str) -> dict[str, Any]:
    """What is not known of the product, and why. A laboratory that is busy leaves performance unjudged; anything else
    that is not known is an error."""
    cause, words = why
    detail = f"{words}; so this is not known of the product: {text}"
    if cause is Cause.INFRA and case.measures_performance:
        return {"result": Result.SKIP, "text": detail, "skip_reason": SkipReason.LABORATORY}
    return {"result": Result.ERROR, "text": detail, "cause": cause}


def _intervals(test: str, outcome: dict[str, Any]) -> tuple[Measurement, ...]:
    """The ends of the 95 % intervals of a criterion's figures over several loads."""
    return tuple(
        Measurement(name=f"{name} {end}", value=values[end], unit=UNITS.get(name, "1"))
        for name, values in outcome.get("spread", {}).items()
        if name in CRITERIA[test]
        for end in ("low", "high")
    )


def _excusable(case: Case, figures: dict[str, float], target: Target) -> bool:
    """Whether a laboratory that was busy may be why: of times always, of wrong answers only where it is emulated."""
    return target.emulated or case.test in SPEED or "hanging" in figures


def _recorded(target: Target, text: str, outcome: dict[str, Any], profile: LoadProfile) -> str:
    """A figure with the reason why nothing follows from it, and what disturbed it."""
    busy = saturated(outcome, profile)
    return f"{target.why}: {text}" + (f"; {busy[1]}" if busy is not None else "")


def _steady(
    case: Case, suite: str, outcome: dict[str, Any], profile: LoadProfile, limits: Limits, target: Target
) -> Observation:
    """A criterion of steadiness; one that could not be looked at is an error of the laboratory, never a pass."""
    steady = steadiness(case.test, outcome, profile, limits)

    def observation(result: Result, text: str, **more: Any) -> Observation:
        return Observation(case=case.id, suite=suite, result=result, measurements=steady.measured, detail=text, **more)

    if steady.unknown:
        return observation(Result.ERROR, steady.text, cause=Cause.INFRA)
    if steady.good is None:
        return observation(Result.SKIP, steady.text, skip_reason=SkipReason.NOT_APPLICABLE)
    if not target.judged and case.test in SPEED:
        return observation(Result.RECORDED, _recorded(target, steady.text, outcome, profile))
    if case.test == "memory_leak" and target.emulated and profile.hold < TRANSLATED_SECONDS:
        words = (
            "recorded only, an emulator's own memory grows while it translates a program (judged from "
            f"{TRANSLATED_SECONDS} s of load on) / 仅记录，仿真器翻译程序时自身内存增长"
        )
        return observation(Result.RECORDED, f"{words}: {steady.text}")
    if not steady.good and STEADY[case.test] and (why := saturated(outcome, profile)) is not None:
        return observation(**_unfit(case, why, steady.text))
    return observation(Result.PASS if steady.good else Result.FAIL, steady.text)


def _judged(test: str, profile: LoadProfile, figures: dict[str, float]) -> tuple[bool, str]:
    if test == "p95":
        p95 = figures["p95"]
        return p95 <= profile.p95_ms, f"p95 {p95:.1f} ms, threshold {profile.p95_ms:.0f} ms"
    if test == "error_rate":
        rate = figures["error rate"]
        hanging = f" ({figures['hanging']:.0f} requests hang)" if "hanging" in figures else ""
        return rate <= profile.error_rate, f"error rate {rate:.2%}{hanging}, threshold {profile.error_rate:.2%}"
    achieved = figures["achieved"]
    intended = figures["intended rate"]
    text = f"{achieved:.1%} of the intended {intended:.0f}/s, threshold {profile.achieved:.0%}"
    return achieved >= profile.achieved, text
