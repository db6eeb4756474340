"""Runs a load profile against a cell."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.model.definitions import Case, LoadProfile
from harness.model.ledger import MEDIA_LOAD, Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Observation, Result, SkipReason
from harness.runners.locust.criteria import Trouble, criterion, target_of, trouble_of
from harness.runners.locust.driving import crash_of, drive
from harness.runners.locust.figures import summarise
from harness.runners.locust.quiet import await_quiet
from harness.runners.locust.repeating import together
from harness.runners.locust.searching import search_rate

#: Why a load has no meaning for a product.
NOTHING_READ = (
    "the application declares no http section, or neither http.resource nor a path of `ready`: there is nothing that a "
    "load reads"
)
#: Seconds of a hold up to which a load is repeated, once, where this machine was busy with other work.
LONGEST_AGAIN = 600


def run_locust(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
    *,
    sandboxed: bool = False,
) -> list[Observation]:
    """Drive the suite's locustfile by its profile; one observation for each of ``cases``, which are criteria.

    ``sandboxed``: it runs where it reaches the ports of the cell alone.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    definition = suite.definition
    profile = definition.profile
    if profile is None:
        raise ValueError(f"{definition.suite} has no profile")
    application = deployment.context.application
    if application.http is None or (application.http.resource is None and not application.readiness.path):
        return [_not_applicable(definition.suite, case, NOTHING_READ) for case in cases]
    if profile.mix is not None and application.http.resource is None:
        return [_not_applicable(definition.suite, case, "the application declares no http.resource") for case in cases]
    if profile.search is not None:
        return search_rate(suite, cases, profile, deployment, ledger, cancel, sandboxed=sandboxed)
    load = functools.partial(_load, suite, cases, profile, deployment, ledger, cancel, sandboxed=sandboxed)
    observations = load()
    if profile.hold <= LONGEST_AGAIN and _unjudged(observations):
        await_quiet(cancel)
        observations = load(mark="-again")
    return observations


def _unjudged(observations: list[Observation]) -> bool:
    """Whether nothing is left to know but what the busy laboratory hid: a failure that was seen stays."""
    reasons = {observation.skip_reason for observation in observations}
    return SkipReason.LABORATORY in reasons and all(
        observation.result in (Result.PASS, Result.SKIP, Result.RECORDED) for observation in observations
    )


def _load(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    profile: LoadProfile,
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
    *,
    sandboxed: bool,
    mark: str = "",
) -> list[Observation]:
    """One load. ``mark``: what the names of its evidence end with."""
    definition, name = suite.definition, suite.definition.suite.replace("/", "-") + mark
    outcome: dict[str, Any] = {}
    crashed: ProductFault | None = None
    try:
        deployment.ensure_running()
        before = deployment.unasked_ends()
        loads = []
        for number in range(profile.repetitions):
            log = f"{name}-{number + 1}" if number else name
            keep = functools.partial(ledger.keep, f"{log}-locust.log")
            loads.append(drive(suite, profile, deployment, keep, cancel, sandboxed=sandboxed))
        broken = [each for each in loads if trouble_of(each, profile, None, emulated=deployment.context.emulated)]
        outcome = broken[0] if broken else together(loads, profile)
        crashed = crash_of(deployment, before)
        trouble = trouble_of(outcome, profile, crashed, emulated=deployment.context.emulated)
    except ProductFault as fault:
        trouble = Trouble(Result.FAIL, None, f"{fault}\n{fault.log}")
    except StepTimeout as error:
        trouble = Trouble(Result.ERROR, Cause.TIMEOUT, error.message)
    if trouble is not None:
        if outcome:
            ledger.keep(f"{name}.json", json.dumps(outcome).encode(), "application/json")
        if trouble.result is Result.FAIL and (lab := deployment.lab_trouble()):
            trouble = Trouble(Result.ERROR, Cause.INFRA, f"{lab}; before that: {trouble.text}")
        return _all(definition.suite, cases, trouble)
    figures, limits = summarise(outcome, profile), deployment.context.application.limits
    record = {**outcome, "figures": figures, "threshold": profile.p95_ms}
    ledger.keep(f"{name}.json", json.dumps(record, allow_nan=False).encode(), MEDIA_LOAD)
    judge = functools.partial(criterion, target=target_of(deployment.context, profile), limits=limits)
    observations = [judge(case, definition.suite, outcome, profile, figures, crashed) for case in cases]
    failed = [
        observation.detail
        for observation in observations
        if observation.result is Result.FAIL or observation.skip_reason is SkipReason.LABORATORY
    ]
    if failed and (lab := deployment.lab_trouble()):
        trouble = Trouble(Result.ERROR, Cause.INFRA, f"{lab}; before that: {'; '.join(failed)}")
        return _all(definition.suite, cases, trouble)
    return observations


def _not_applicable(suite: str, case: Case, reason: str) -> Observation:
    return Observation(
        case=case.id, suite=suite, result=Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail=reason
    )


def _all(suite: str, cases: tuple[Case, ...], trouble: Trouble) -> list[Observation]:
    return [
        Observation(case=case.id, suite=suite, result=trouble.result, cause=trouble.cause, detail=trouble.text[:4000])
        for case in cases
    ]
