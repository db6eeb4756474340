"""Runs a profile that searches for a rate: the knee, a load beyond it, and whether the product recovers from that."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.model.definitions import Case, LoadProfile, RateSearch
from harness.model.ledger import Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason
from harness.runners.locust.capacity import Knee, Step, find_knee
from harness.runners.locust.criteria import Target, Trouble, target_of, trouble_of
from harness.runners.locust.driving import crash_of, drive
from harness.runners.locust.quiet import await_quiet

#: Seconds of the ramp of each load.
RAMP = 1.0
#: A share of the rate that held, by which recovery is looked at, and times the seconds of a load that it goes on.
CALM, CALM_TIMES = 0.5, 2
#: Bytes of the logs of all loads that are kept.
MAX_LOG = 2 * 2**20
#: An answer with a good status whose content is wrong, among the errors of a load.
WRONG = re.compile(r"status 2\d\d (without the text|with .* in place of)|gave not the text that was acknowledged")


class _Broken(Exception):
    """The suite's own fault: no load can be put on the product."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


@dataclass
class _Search:
    """The loads of one search, one after the other, and what is remembered of all of them."""

    suite: LocatedSuite
    profile: LoadProfile
    deployment: Deployment
    cancel: threading.Event
    sandboxed: bool
    log: bytes = b""
    crashes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  #: errors that are wrong answers, as the driver counted them

    def load(self, rate: float, seconds: float) -> Step:
        """One load; where the busy laboratory leaves it open, again once the machine is quiet.

        Raises:
            _Broken: the locustfile cannot be used.
        """
        step = self._load(rate, seconds)
        if step.holds is None and await_quiet(self.cancel):
            step = self._load(rate, seconds)
        return step

    def _load(self, rate: float, seconds: float) -> Step:
        profile = self.profile.model_copy(update={"rate": rate, "ramp": RAMP, "hold": seconds})
        try:
            self.deployment.ensure_running()
            before = self.deployment.unasked_ends()
            outcome = drive(self.suite, profile, self.deployment, self._keep, self.cancel, sandboxed=self.sandboxed)
            crashed = crash_of(self.deployment, before)
            trouble = trouble_of(outcome, profile, crashed)
        except ProductFault as fault:
            return _none(rate, str(fault))
        except StepTimeout as error:
            return _none(rate, error.message)
        if crashed is not None:
            self.crashes.append(f"at {rate:.0f}/s: {crashed}")
        if trouble is not None:
            if trouble.result is Result.ERROR:
                raise _Broken(trouble)
            return _none(rate, trouble.text)
        self.wrong += [f"{count} × {text}" for text, count in outcome["errors"].items() if WRONG.search(text)]
        step = Step.of(outcome, profile)
        return (
            step
            if crashed is None
            else Step(**{**asdict(step), "holds": False, "why": f"the product ended: {crashed}"})
        )

    def _keep(self, log: bytes) -> None:
        self.log = (self.log + log)[-MAX_LOG:]


def search_rate(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    profile: LoadProfile,
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
    *,
    sandboxed: bool,
) -> list[Observation]:
    """One observation for each of ``cases``, whose tests are ``knee``, ``beyond`` and ``recovery``.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    name, target, search = suite.definition.suite, target_of(deployment.context, profile), profile.search
    assert search is not None, "who calls has looked"
    if target.emulated:
        reason = "an emulated target shows no capacity / 仿真目标不能体现容量"
        return [
            Observation(case=case.id, suite=name, result=Result.SKIP, skip_reason=SkipReason.CAPABILITY, detail=reason)
            for case in cases
        ]
    loads = _Search(suite, profile, deployment, cancel, sandboxed)
    try:
        outcomes = _searched(loads, search)
    except _Broken as broken:
        result, cause, text = broken.trouble.result, broken.trouble.cause, broken.trouble.text[:4000]
        return [Observation(case=case.id, suite=name, result=result, cause=cause, detail=text) for case in cases]
    finally:
        ledger.keep(f"{name.replace('/', '-')}-locust.log", loads.log)
    record = {"knee": outcomes.knee.record, "beyond": asdict(outcomes.beyond), "recovery": asdict(outcomes.recovery)}
    ledger.keep(f"{name.replace('/', '-')}.json", json.dumps(record, allow_nan=False).encode(), "application/json")
    observations = [_judged(case, name, outcomes, loads, profile, target) for case in cases]
    failed = [each.detail for each in observations if each.result is Result.FAIL]
    if failed and (lab := deployment.lab_trouble()):
        text = f"{lab}; before that: {'; '.join(failed)}"[:4000]
        return [
            Observation(case=case.id, suite=name, result=Result.ERROR, cause=Cause.INFRA, detail=text) for case in cases
        ]
    return observations


@dataclass(frozen=True)
class _Searched:
    knee: Knee
    beyond: Step
    recovery: Step


def _searched(loads: _Search, search: RateSearch) -> _Searched:
    knee = find_knee(lambda rate: loads.load(rate, search.seconds), search)
    limit = knee.high if knee.high is not None else max(knee.low, search.least)
    beyond = loads.load(search.beyond * limit, search.seconds)
    recovery = loads.load(CALM * max(knee.low, search.least), CALM_TIMES * search.seconds)
    return _Searched(knee, beyond, recovery)


def _judged(
    case: Case, suite: str, outcomes: _Searched, loads: _Search, profile: LoadProfile, target: Target
) -> Observation:
    def observation(result: Result, text: str, **more: Any) -> Observation:
        return Observation(case=case.id, suite=suite, result=result, detail=text[:4000], **more)

    match case.test:
        case "knee":
            return observation(*_knee(outcomes.knee, profile, target), measurements=_measured(outcomes.knee))
        case "beyond":
            text = f"at {outcomes.beyond.rate:.0f}/s: {_words(outcomes.beyond)}"
            if loads.crashes or loads.wrong:
                return observation(Result.FAIL, "; ".join([*loads.crashes, *loads.wrong[:3], text]))
            return observation(Result.PASS, f"{text}; no answer was wrong, and the product went on")
        case "recovery":
            step = outcomes.recovery
            text = f"after a load of {outcomes.beyond.rate:.0f}/s, at {step.rate:.0f}/s: {_words(step)}"
            if step.holds is None:
                return observation(Result.ERROR, text, cause=Cause.INFRA)
            return observation(Result.PASS if step.holds else Result.FAIL, text)
        case unknown:
            text = f"unknown criterion {unknown!r} of a search; known: knee, beyond, recovery"
            return observation(Result.MISS, text, cause=Cause.TEST)


def _knee(knee: Knee, profile: LoadProfile, target: Target) -> tuple[Result, str]:
    limits = f"p95 {profile.p95_ms:.0f} ms, errors {profile.error_rate:.2%}, {profile.achieved:.0%} achieved"
    if knee.high is None:
        text = f"the limits ({limits}) are kept up to {knee.low:.0f}/s at least; {knee.why}"
    else:
        text = f"the limits ({limits}) are left between {knee.low:.0f}/s and {knee.high:.0f}/s: {knee.why}"
    if not target.judged:
        return Result.RECORDED, f"{target.why}: {text}"
    if knee.low >= profile.rate:
        return Result.PASS, f"{text}; {profile.rate:.0f}/s are demanded"
    if knee.high is None:  # the laboratory ended the search before the rate that is demanded
        return Result.RECORDED, f"{text}; whether {profile.rate:.0f}/s are reached is not known"
    return Result.FAIL, f"{text}; {profile.rate:.0f}/s are demanded"


def _measured(knee: Knee) -> tuple[Measurement, ...]:
    values = [("knee holds", knee.low, "1/s"), ("knee fails", knee.high, "1/s")]
    at_low = next((step for step in reversed(knee.steps) if step.rate == knee.low), None)
    if at_low is not None:
        values.append(("p95 at the knee", at_low.p95, "ms"))
    values.append(("largest throughput", max(step.throughput for step in knee.steps), "1/s"))
    values.append(("loads", float(len(knee.steps)), "1"))
    return tuple(
        Measurement(name=name, value=round(value, 2), unit=unit) for name, value, unit in values if value is not None
    )


def _words(step: Step) -> str:
    parts = [f"{step.achieved:.0%} of the rate achieved"]
    if step.p95 is not None:
        parts.append(f"p95 {step.p95:.0f} ms")
    if step.errors is not None:
        parts.append(f"error rate {step.errors:.2%}")
    return ", ".join(parts) + (f" ({step.why})" if step.why else "")


def _none(rate: float, why: str) -> Step:
    """A load without an answer."""
    return Step(rate=rate, holds=False, why=why[:400], p95=None, errors=None, achieved=0.0, throughput=0.0)
