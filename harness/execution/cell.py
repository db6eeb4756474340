"""One cell, from environment to verdict. ``run_cell`` is the order of work; nothing calls back to an earlier stage."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

from harness.control.deployment import Deployment
from harness.deploy import deploy
from harness.execution.attempt import Ended
from harness.execution.deploying import Deploying
from harness.execution.programs import observe_programs
from harness.execution.services import AttemptRecord, Lab
from harness.judging import Judgement
from harness.model.definitions import Case
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.machine import Machine
from harness.model.plan import Cell, LocatedSuite
from harness.model.results import Cause, Observation, Result, State
from harness.model.verbs import deeds, in_effect
from harness.runners.runner import PRODUCT_RUNNERS, Outcome, ProductTask


def run_cell(lab: Lab, cell: Cell, record: AttemptRecord) -> Judgement:
    """Run one attempt at a cell and close it; whatever happens, it ends with a verdict in the journal.

    Raises:
        InfrastructureError: the journal or the evidence cannot be written: then nothing can be promised.
    """
    run = _CellRun(lab, cell, record)
    with contextlib.suppress(Ended), run.ending():
        with run.turn():
            run.static()
        run.place()
        # Machines are leased before a turn is taken: who waits for a host must not keep a load waiting.
        with run.hold() as held, run.teardown_in_turn() as stack:
            with run.turn():
                environments = run.environments()
                machines = run.provision(held, environments, stack)
                stack.callback(run.stop_all)
                stack.push(run.keep_logs_of_trouble)  # runs before the machines go
                run.attest(machines)
                product = run.install(machines, environments)
                run.static(machines, product)
                deployment = run.deploy(machines, product)
                run.suites(deployment, when="main", alone=False)
            if run.has_load():
                with run.load_turn(machines):
                    run.suites(deployment, when="main", alone=True)
            with run.turn():
                run.suites(deployment, when="end", alone=False)
                # Fixtures start a product again that has ended: that is no excuse for the end.
                run.observe(*deploy(deployment, lab.deployment_suite, ("stays",)))
                with run.step("programs"):
                    observe_programs(machines, run.target.cpu.architecture, run.observe_step)
                run.collect(deployment)
    return run.close()


def block_cell(lab: Lab, cell: Cell, record: AttemptRecord, reason: str) -> Judgement:
    """Record an attempt at a cell that cannot be run: the lab is not fit, nothing is known of the product."""
    run = _CellRun(lab, cell, record)
    with contextlib.suppress(Ended), run.ending():
        raise Ended(Result.MISS, Cause.INFRA, None, reason)
    return run.close()


def demanded(case: Case, seen: Observation, factor: float) -> Observation:
    """What was seen of a case whose limit is part of what is demanded: to run into it is a failure of the product.

    A runner has looked at the lab already: where that is in trouble, the cause is infra, and stays.
    """
    if seen.result is not Result.ERROR or seen.cause is not Cause.TIMEOUT:
        return seen
    detail = (
        f"it is demanded within {case.seconds:g} s, whatever the target, and was not done by then (the target is "
        f"{factor:g} times slower than this machine)\n{seen.detail}"
    )
    return dataclasses.replace(seen, result=Result.FAIL, cause=None, detail=detail)


def undo_verbs(machines: Iterable[Machine]) -> None:
    """Take back what a suite did to machines by a verb and left in effect.

    Raises:
        InfrastructureError: a machine does not obey.
    """
    for machine in machines:
        if in_effect(deeds(machine.reference.deeds), machine.name):
            machine.verbs.undo()


class _CellRun(Deploying):
    """All stages, and the suites."""

    def has_load(self) -> bool:
        """Whether the cell has a suite that needs the machine alone."""
        return any(self.chosen(suite, when="main", alone=True) for suite in self.suites_of_cell)

    @staticmethod
    def chosen(suite: LocatedSuite, *, when: str, alone: bool) -> tuple[Case, ...]:
        """The cases of a suite for one phase, where its runner needs the machine ``alone``, or shares it."""
        kind = RUNNER_KINDS[suite.definition.runner]
        if kind.stage != "product" or kind.alone != alone:
            return ()
        return tuple(case for case in suite.definition.cases if case.when == when)

    def suites(self, deployment: Deployment, *, when: str, alone: bool) -> None:
        """Run the suites of the cell whose runner needs the machine ``alone``, or shares it; cases of ``when`` only."""
        for suite in self.suites_of_cell:
            cases = self.chosen(suite, when=when, alone=alone)
            if not cases:
                continue
            self.state(State.RUNNING, suite.definition.suite)
            with self.step(suite.definition.suite):
                try:
                    seen = self.run_suite(suite, cases, deployment)
                finally:
                    undo_verbs([deployment.machine, deployment.database.machine])
                self.check_machines()  # what was seen on a machine that is another's by now says nothing
                self.observe(*seen.observations)
            self.check_cancel()

    def run_suite(self, suite: LocatedSuite, cases: tuple[Case, ...], deployment: Deployment) -> Outcome:
        task = ProductTask(
            suite=suite,
            cases=cases,
            deployment=deployment,
            ledger=self.record,
            cancel=self.lab.cancel,
            forks=self.lab.forks,
        )
        outcome = PRODUCT_RUNNERS[suite.definition.runner](task)
        limits = {case.id: case for case in cases if case.absolute}
        factor = deployment.context.factor
        return dataclasses.replace(
            outcome,
            observations=tuple(
                demanded(limits[seen.case], seen, factor) if seen.case in limits else seen
                for seen in outcome.observations
            ),
        )

    def collect(self, deployment: Deployment) -> None:
        self.state(State.COLLECTING, "collect / 收集")
        with self.step("collect"):
            self.keep_logs(deployment)
