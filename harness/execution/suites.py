"""Runs the suites of a cell, phase by phase, each by the runner that it names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

from harness.control.deployment import Deployment
from harness.errors import HarnessError
from harness.execution.attempt import Attempt
from harness.model.definitions import Case
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.machine import Machine
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Observation, Result, SkipReason, State
from harness.model.verbs import deeds, in_effect
from harness.runners.runner import PRODUCT_RUNNERS, ProductTask


def has_load(attempt: Attempt) -> bool:
    """Whether the cell has a suite that needs the machine alone."""
    return any(_chosen(suite, when="main", alone=True) for suite in attempt.suites)


def is_foreign(attempt: Attempt, suite: LocatedSuite) -> bool:
    """Whether the code of a suite runs in a sandbox: it is not the harness's own, and nobody trusted it."""
    return not suite.shipped and not attempt.lab.trusts_code


def run_suites(attempt: Attempt, deployment: Deployment, *, when: str, alone: bool) -> None:
    """Run the suites of the cell whose runner needs the machine ``alone``, or shares it; cases of ``when`` only."""
    for suite in attempt.suites:
        cases = _chosen(suite, when=when, alone=alone)
        if not cases:
            continue
        cases = take(attempt, suite, cases)
        if not cases:
            continue
        attempt.state(State.RUNNING, suite.definition.suite)
        with attempt.step(suite.definition.suite):
            observations, trouble = _run_and_undo(attempt, suite, cases, deployment)
            attempt.check_machines()  # an observation on a machine that another cell has by now says nothing
            attempt.observe(*observations)
            if trouble is not None:
                raise trouble
        if attempt.lab.cancel.is_set():  # one that drains may end with what the last suite's end shows
            attempt.check_cancel()


def take(attempt: Attempt, suite: LocatedSuite, cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases that the operator wants; the others are recorded as left out."""
    name, choice = suite.definition.suite, attempt.lab.choice
    left = [
        Observation(
            case=case.id,
            suite=name,
            result=Result.SKIP,
            skip_reason=SkipReason.OPERATOR,
            detail="the operator left it out (--suite, --case) / 操作员未选此用例",
        )
        for case in cases
        if not choice.takes(name, case.id)
    ]
    if left:
        attempt.observe(*left)
    return tuple(case for case in cases if choice.takes(name, case.id))


def undo_verbs(machines: Iterable[Machine]) -> None:
    """Take back what a suite did to machines by a verb and left in effect.

    Raises:
        InfrastructureError: a machine does not obey.
    """
    for machine in machines:
        if in_effect(deeds(machine.reference.deeds), machine.name):
            machine.verbs.undo()


def _run_and_undo(
    attempt: Attempt, suite: LocatedSuite, cases: tuple[Case, ...], deployment: Deployment
) -> tuple[list[Observation], HarnessError | None]:
    """Run a suite, then take back what it did to the machines; gives what it saw, and why that is not taken back."""
    machines = [deployment.machine, *(server.machine for server in deployment.servers.values())]
    try:
        observations = _run_suite(attempt, suite, cases, deployment)
    except BaseException:
        with contextlib.suppress(HarnessError):  # the first trouble is the one that is reported
            undo_verbs(machines)
        raise
    try:
        undo_verbs(machines)
    except HarnessError as error:
        return observations, error
    return observations, None


def _chosen(suite: LocatedSuite, *, when: str, alone: bool) -> tuple[Case, ...]:
    """The cases of a suite for one phase, where its runner needs the machine ``alone``, or shares it."""
    kind = RUNNER_KINDS[suite.definition.runner]
    if kind.stage != "product" or kind.alone != alone:
        return ()
    return tuple(case for case in suite.definition.cases if case.when == when)


def _run_suite(
    attempt: Attempt, suite: LocatedSuite, cases: tuple[Case, ...], deployment: Deployment
) -> list[Observation]:
    task = ProductTask(
        suite=suite,
        cases=cases,
        deployment=deployment,
        ledger=attempt.record,
        cancel=attempt.lab.cancel,
        forks=attempt.lab.forks,
        sandboxes=attempt.lab.sandboxes if is_foreign(attempt, suite) else None,
    )
    outcome = PRODUCT_RUNNERS[suite.definition.runner](task)
    limits, factor = {case.id: case for case in cases if case.absolute}, deployment.context.factor
    return [
        demanded(limits[observation.case], observation, factor) if observation.case in limits else observation
        for observation in outcome.observations
    ]


def demanded(case: Case, observation: Observation, factor: float) -> Observation:
    """The observation of a case whose time limit is a demand on the product: reaching the limit is then a failure.

    ``factor``: how many times slower than this machine the target is.

    A runner has looked at the lab already: where that is in trouble, the cause is infra, and stays.
    """
    if observation.result is not Result.ERROR or observation.cause is not Cause.TIMEOUT:
        return observation
    detail = (
        f"it is demanded within {case.seconds:g} s, whatever the target, and was not done by then (the target is "
        f"{factor:g} times slower than this machine)\n{observation.detail}"
    )
    return dataclasses.replace(observation, result=Result.FAIL, cause=None, detail=detail)
