"""What is known of one attempt while it runs, how it is recorded, and how it ends: always with a verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from harness.attest.attestation import demand
from harness.errors import Canceled, HarnessError, StepTimeout
from harness.execution.services import AttemptRecord, Lab
from harness.judging import Judgement, judge
from harness.machines.placing import PlacedCell
from harness.model.attestation import Attestation
from harness.model.definitions import Case, Suite, Waiver
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.finding import Finding
from harness.model.plan import FRESH, UPGRADE, Cell, Definitions, LocatedSuite
from harness.model.records import AppliedWaiver, AttemptFacts, AttestedFact
from harness.model.results import WITHOUT_DATABASE, Cause, Fidelity, Observation, Result, SkipReason, State, Verdict
from harness.provision.installing import InstallFailed
from harness.provision.provisioner import Machines
from harness.scan.cases import covers
from harness.system.waiting import Waiting

#: Errors of the system that say that this machine has run out of something, or that its disk is broken.
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Ended(Exception):
    """The cell cannot go on; what is left of its cases gets this result."""

    def __init__(self, result: Result, cause: Cause | None, reason: SkipReason | None, detail: str) -> None:
        super().__init__(detail)
        self.result, self.cause, self.reason, self.detail = result, cause, reason, detail


def cases_of(definitions: Definitions, deployment_suite: Suite, cell: Cell) -> list[tuple[str, Case]]:
    """Every case of a cell with the suite that it belongs to."""
    upgrades = cell.axes.get(UPGRADE, FRESH) != FRESH
    cases = [(deployment_suite.suite, case) for case in deployment_suite.cases if upgrades or case.when != "upgrade"]
    suites = [definitions.suites[name].definition for name in cell.suites]
    return cases + [(suite.suite, case) for suite in suites for case in suite.cases]


def _exhausted(error: OSError) -> str:
    """What this machine lacks, and who acts."""
    where = f": {error.filename}" if error.filename else ""
    return (
        f"this machine, on which the harness runs: {error.strerror}{where} (the temporary folder is "
        f"{tempfile.gettempdir()})\n  next: make room there, or raise the limit of open files, then: harness resume"
    )


def _may_be_the_labs(observation: Observation) -> bool:
    """Whether a disturbed machine explains it: a failure, and a suite that raised or ran into its limit."""
    return observation.result is Result.FAIL or observation.cause in (Cause.TEST, Cause.TIMEOUT)


class Attempt:
    """The record of an attempt while it runs, and its end. The stages pass their results through it."""

    def __init__(self, lab: Lab, placed: PlacedCell, record: AttemptRecord) -> None:
        self.lab, self.placed, self.cell, self.record = lab, placed, placed.cell, record
        self.suites = [lab.definitions.suites[name] for name in self.cell.suites]
        self.cases = cases_of(lab.definitions, lab.deployment_suite, self.cell)
        self.observations: dict[tuple[str, str], Observation] = {}
        self.findings: tuple[Finding, ...] = ()  #: of static scans, on this cell
        trusted = tuple(
            f"code of {suite.definition.suite} (sha256 {suite.digest[:12]}) ran without a sandbox (--trust-code)"
            for suite in self.suites
            if lab.trusts_code and not suite.shipped and RUNNER_KINDS[suite.definition.runner].stage == "product"
        )
        if lab.trusts_code and (resource := placed.application.resource) is not None:
            trusted += (f"the resource {resource.python} ran without a sandbox (--trust-code)",)
        self.facts = AttemptFacts(seconds={}, notes=(*self.cell.notes, *trusted))
        if lab.controller:
            self.learn(controller=dict(lab.controller))
        self.machines: Machines | None = None  #: once the cell has them
        self.step_began = time.time()
        self.product_began = self.step_began  #: when its deployment began, in seconds since 1970
        self.began = time.monotonic()

    @property
    def emulated(self) -> bool:
        """Whether any machine of the cell is: then nothing of it shows performance."""
        return self.facts.fidelity in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)

    @property
    def judges_performance(self) -> bool:
        """Whether times and rates count: on the declared hardware, and in containers where the matrix requires it. A
        container shares its processors with whatever else its machine does."""
        if self.facts.fidelity is Fidelity.CONTAINER:
            return self.lab.definitions.matrix.require.performance
        return not self.emulated

    # --- recording ---

    def learn(self, **facts: Any) -> None:
        """Record fields of ``AttemptFacts``, each in the place of what is known of it.

        Raises:
            ValidationError: there is no such fact, or the value has another type.
        """
        known = {name: getattr(self.facts, name) for name in self.facts.model_fields_set}
        self.facts = AttemptFacts.model_validate(known | facts)

    def note(self, *words: str) -> None:
        """Record notes beside those that are there."""
        self.learn(notes=(*self.facts.notes, *words))

    def spend(self, name: str, seconds: float) -> None:
        """Record seconds that a step took, beside those of the same step before."""
        spent = self.facts.seconds
        self.learn(seconds=spent | {name: round(spent.get(name, 0.0) + seconds, 2)})

    def keep_attestation(self, role: str, attestation: Attestation) -> None:
        """Record the facts that a role's machine was attested with.

        Raises:
            AttestationMismatch: a fact differs from the declaration.
        """
        facts = (AttestedFact(machine=role, **vars(fact)) for fact in attestation.facts)
        self.learn(attestation=(*self.facts.attestation, *facts))
        self.record.event("attestation", machine=role, facts=[vars(fact) for fact in attestation.facts])
        demand(f"the {role} machine", attestation)

    def observe(self, *observations: Observation) -> None:
        """Record observations, with failures during a disturbance of the laboratory blamed on the laboratory."""
        observations = self.blamed(observations)
        self.record.observe(*observations)
        self.observations |= {(observation.suite, observation.case): observation for observation in observations}

    def blamed(self, observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
        """What went wrong in a step in which the laboratory disturbed the machines says nothing of product or suite."""
        if not any(_may_be_the_labs(observation) for observation in observations):
            return observations
        try:
            words = "; ".join(self.disturbances(self.step_began))
        except HarnessError as error:
            words = error.message
        if not words:
            return observations
        self.record.event("disturbed", message=words)
        return tuple(
            dataclasses.replace(
                observation, result=Result.ERROR, cause=Cause.INFRA, detail=f"{words}; then: {observation.detail}"
            )
            if _may_be_the_labs(observation)
            else observation
            for observation in observations
        )

    def observe_step(self, test: str, result: Result, **more: Any) -> None:
        """Record the observation of a step of the deployment; ``test`` is the name of the step."""
        case = next(case for case in self.lab.deployment_suite.cases if case.test == test)
        self.observe(Observation(case=case.id, suite=self.lab.deployment_suite.suite, result=result, **more))

    def state(self, state: State, words: str) -> None:
        """Record what the attempt does now.

        Raises:
            Canceled: the operator has canceled the campaign.
        """
        self.check_cancel()
        self.record.state(state, words)

    def check_cancel(self) -> None:
        """Go on only where the attempt may.

        Raises:
            Canceled: the operator has canceled the campaign.
            InfrastructureError: the cell has lost a machine.
        """
        if self.lab.stopping:
            raise Canceled("canceled by the operator")
        self.check_machines()

    def check_machines(self) -> None:
        """Go on only where the cell has its machines still.

        Raises:
            InfrastructureError: it has lost one.
        """
        if self.machines is not None:
            self.machines.check()

    def disturbances(self, since: float) -> Sequence[str]:
        """What the laboratory did to the machines since a moment (seconds since 1970), in words.

        Raises:
            InfrastructureError: it cannot be looked at.
        """
        return self.machines.disturbances(since) if self.machines is not None else ()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step of the attempt, in seconds."""
        started = time.monotonic()
        self.step_began = time.time()
        try:
            yield
        finally:
            self.spend(name, time.monotonic() - started)

    def waiting(self, work: str) -> Waiting:
        """The terms on which this attempt waits for a machine."""

        def notify(words: str) -> None:
            self.record.event("waiting", message=words)
            self.lab.say(self.cell, f"waits / 等待: {words}")

        return Waiting(
            who=f"{work} of cell {self.cell.short}, campaign {self.lab.campaign}",
            notify=notify,
            stopped=lambda: self.lab.stopping,
        )

    # --- ends ---

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the cell early becomes an observation of every case that is still open."""
        try:
            try:
                yield
            except Exception as error:  # an unknown error is ours, never the product's
                raise self.ended(error) from error
        except Ended as end:
            left = [(suite, case) for suite, case in self.cases if (suite, case.id) not in self.observations]
            if not left and end.cause not in (None, Cause.CANCELED):
                self.note(f"after the last case: {end.detail[:2000]}")
            self.observe(
                *(
                    Observation(
                        case=case.id,
                        suite=suite,
                        result=end.result,
                        cause=end.cause,
                        skip_reason=end.reason,
                        detail=end.detail[:2000],
                    )
                    for suite, case in left
                )
            )
            raise

    def ended(self, error: Exception) -> Ended:
        """The end of the attempt that an error means: whose it is, and in what words.

        The traceback of an error that nobody expected is kept as evidence.
        """
        if isinstance(error, Ended):
            return error
        if isinstance(error, Canceled) or self.lab.cancel.is_set():
            return Ended(Result.MISS, Cause.CANCELED, None, "canceled by the operator")
        if isinstance(error, StepTimeout):
            return Ended(Result.MISS, Cause.TIMEOUT, None, str(error))
        if isinstance(error, HarnessError):
            return Ended(Result.MISS, Cause(error.cause), None, str(error))
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            return Ended(Result.MISS, Cause.INFRA, None, _exhausted(error))
        text = "".join(traceback.format_exception(error))
        self.record.keep("harness-traceback.txt", text.encode())
        detail = f"unexpected {type(error).__name__}: {error} (please report it; traceback in the evidence)"
        return Ended(Result.MISS, Cause.HARNESS, None, detail)

    def blocked(self, detail: str) -> NoReturn:
        """The lab is not fit: nothing is known of the product.

        Raises:
            Ended: always.
        """
        self.observe_step("database", Result.ERROR, cause=Cause.INFRA, detail=detail)
        raise Ended(Result.MISS, Cause.INFRA, None, detail)

    def no_former(self, version: str, detail: str) -> NoReturn:
        """The version to upgrade from does not serve on this target: nothing is known of the upgrade.

        Raises:
            Ended: always.
        """
        raise Ended(
            Result.MISS,
            Cause.CONFIG,
            None,
            f"the former version {version} does not serve here, so nothing can be upgraded: {detail[:1500]}",
        )

    def install_failed(self, failure: InstallFailed, seconds: float) -> NoReturn:
        """The product is not installed: by its own fault, or by that of lab or definition.

        Raises:
            Ended: always, or
            Canceled: the campaign was stopped.
        """
        if self.lab.cancel.is_set():
            raise Canceled("canceled while the environment was installed")
        if failure.cause == "product":
            log = "\n".join(failure.log.splitlines()[-25:])
            self.observe_step("install", Result.FAIL, seconds=seconds, detail=f"{failure}\n{log}")
            raise Ended(Result.SKIP, None, SkipReason.DEPENDENCY, "depends on DEP-1, which failed")
        self.observe_step("install", Result.ERROR, cause=Cause(failure.cause), seconds=seconds, detail=str(failure))
        raise Ended(Result.MISS, Cause(failure.cause), None, str(failure))

    def follow(self, steps: Iterable[Observation]) -> None:
        """Record the steps of a deployment.

        Raises:
            Ended: one did not pass; the steps behind it were not taken.
        """
        for observation in steps:
            self.observe(observation)
            if observation.result is Result.ERROR:
                raise Ended(Result.MISS, observation.cause, None, observation.detail)
            applies = observation.skip_reason is not SkipReason.NOT_APPLICABLE
            if observation.result is not Result.PASS and applies:
                raise Ended(Result.SKIP, None, SkipReason.DEPENDENCY, f"depends on {observation.case}, which failed")
            self.check_cancel()

    def close(self) -> Judgement:
        """Judge what was seen and close the attempt, in one transaction."""
        waivers, today = self.lab.definitions.waivers, datetime.datetime.now(datetime.UTC).date()
        judgement = judge(
            self.cases,
            self.observations,
            emulated=self.emulated,
            waivers=self._holding(waivers, today),
            axes=self.cell.axes,
            asked=[suite.definition.suite for suite in self.suites if not self._needs_other_cells(suite)],
            requires_performance=self.lab.definitions.matrix.require.performance,
        )
        left = [each.case for each in self.observations.values() if each.skip_reason is SkipReason.OPERATOR]
        if left and judgement.verdict in (Verdict.CONFORMANT, Verdict.CONDITIONAL) and not self.lab.choice.everything:
            # Also where none of them decides: what was tried for itself is no test of the product.
            message = f"the operator left out {len(left)} of {len(self.cases)} cases: {', '.join(left[:10])}"
            judgement = dataclasses.replace(
                judgement, verdict=Verdict.INCONCLUSIVE, cause=Cause.CANCELED, message=message
            )
        self.learn(waived=tuple(AppliedWaiver.of(suite, case, waiver) for suite, case, waiver in judgement.waived))
        self.note(
            *(
                f"waiver for {waiver.case} expired on {waiver.expires}: {waiver.because}"
                for waiver in waivers
                if not waiver.holds(today)
                and any(waiver.concerns(self.cell.axes, suite, case.id) for suite, case in self.cases)
            )
        )
        self.spend("total", time.monotonic() - self.began)
        self.record.finish(judgement.verdict, judgement.cause, judgement.message, self.facts)
        return judgement

    def _needs_other_cells(self, suite: LocatedSuite) -> bool:
        """Whether a suite needs a database, which only other cells of the matrix have: then it is not missing here."""
        if not self.placed.database.absent or all(entry.absent for entry in self.lab.definitions.databases.values()):
            return False
        cases = [self.observations.get((suite.definition.suite, case.id)) for case in suite.definition.cases]
        return any(cases) and all(case is not None and WITHOUT_DATABASE in case.detail for case in cases)

    def _holding(self, waivers: Iterable[Waiver], today: datetime.date) -> list[Waiver]:
        """The waivers that hold today. One that names files accepts a case if every finding of it lies in them."""
        holding = []
        for waiver in waivers:
            if not waiver.holds(today):
                continue
            if not waiver.files:
                holding.append(waiver)
                continue
            rules = {finding.rule for finding in self.findings}
            cases = sorted(rule for rule in rules if covers(waiver, self.findings, rule, self.cell.axes))
            holding += [waiver.model_copy(update={"files": (), "case": case}) for case in cases]
        return holding
