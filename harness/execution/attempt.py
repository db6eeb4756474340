"""What is known of one attempt while it runs, how it is recorded, and how it ends: always with a verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from harness.attest.architecture import Emulator
from harness.attest.attestation import reference_seconds
from harness.control.deployment import Deployment
from harness.errors import AttestationMismatch, Canceled, HarnessError, StepTimeout
from harness.execution.services import AttemptRecord, CellTarget, Lab
from harness.judging import Judgement, judge
from harness.model.attestation import Attestation
from harness.model.definitions import Case, Foundation, Suite
from harness.model.finding import Finding
from harness.model.plan import FRESH, UPGRADE, Cell, Definitions
from harness.model.recipe import Environment
from harness.model.records import AppliedWaiver, AttemptFacts
from harness.model.results import Cause, Fidelity, Observation, Result, SkipReason, State
from harness.provision.installing import InstallFailed
from harness.provision.provisioner import Machines, Provisioner, Role
from harness.scan.cases import covers
from harness.system.waiting import Waiting

#: However slow a target is, no limit is stretched by more.
MAX_FACTOR = 100.0


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


class Attempt:
    """State and record of one attempt while it runs."""

    def __init__(self, lab: Lab, cell: Cell, record: AttemptRecord) -> None:
        self.lab, self.cell, self.record = lab, cell, record
        definitions = lab.definitions
        os, cpu = definitions.application_machine(cell.axes)
        middleware = definitions.middlewares.get(cell.axes.get("middleware", ""))
        served = middleware if middleware is not None and middleware.placement == "server" else None
        database = definitions.databases[cell.axes["database"]]
        self.target = CellTarget(
            cpu=cpu,
            os=os,
            database=database,
            middleware=served,
            servers={
                role: definitions.server_machine(role, cell.axes)
                for role, one in (("database", database), ("middleware", served))
                if one is not None and one.placement == "server"
            },
        )
        self.application = definitions.application_of(cell.axes)
        name = cell.axes.get(UPGRADE, FRESH)
        #: The version that is installed first and then upgraded; None where the product is installed anew.
        self.former = None if name == FRESH else self.application.before(name)
        self.suites_of_cell = [definitions.suites[name] for name in cell.suites]
        self.cases = cases_of(definitions, lab.deployment_suite, cell)
        self.seen: dict[tuple[str, str], Observation] = {}
        found = (definitions.runtimes.get(cell.axes.get("runtime", "")), middleware if served is None else None)
        #: Runtime and middleware: installed beside the product, attested before it is deployed.
        self.foundations: list[Foundation] = [one for one in found if one is not None]
        self.found: tuple[Finding, ...] = ()  #: of static scans, on this cell
        self.facts: dict[str, Any] = {"seconds": {}, "notes": list(cell.notes)}
        self.emulator: Emulator | None = None  #: of the product's machine
        self.server_emulators: dict[str, Emulator | None] = {}
        self.attestation: list[dict[str, Any]] = []
        self.provisioner: Provisioner  #: of what serves the cell
        self.fidelity: Fidelity | None = None
        self.roles: tuple[Role, ...] = ()
        self.made_of: dict[str, Environment] = {}  #: by role
        self.check_machines: Callable[[], None] = lambda: None
        self.disturbances: Callable[[float], Sequence[str]] = lambda _since: ()
        self.step_began = time.time()  #: seconds since 1970
        self.ran_before: tuple[int, ...] = ()
        self.deployment: Deployment | None = None
        self.began = time.monotonic()
        self.measured_factor = 1.0

    @property
    def emulated(self) -> bool:
        """Whether any machine of the cell is: then nothing of it shows performance."""
        return self.fidelity in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)

    @property
    def beneath(self) -> set[str]:
        """Packages that are in the environment for what the product stands on."""
        return {*self.target.database.packages, *(name for one in self.foundations for name in one.packages)}

    @property
    def factor(self) -> float:
        """What limits are scaled by: as declared for an emulated target, or as measured where that is more."""
        return max(self.declared_factor, min(self.measured_factor, MAX_FACTOR))

    @property
    def declared_factor(self) -> float:
        """What definitions declare for the machines that are emulated; the largest counts."""
        emulated = [role for role, by in self.server_emulators.items() if by is not None]
        product = self.emulator is not None or (self.emulated and not emulated)
        declared = self.cell.timeout_factor if product else 1.0
        return max([declared, *(self.target.servers[role][1].timeout_factor for role in emulated)])

    # --- recording ---

    def keep_attestation(self, role: str, found: Attestation) -> None:
        self.attestation += [{"machine": role, **vars(fact)} for fact in found.facts]
        self.record.event("attestation", machine=role, facts=[vars(fact) for fact in found.facts])
        if found.mismatches:
            told = "; ".join(
                f"{f.name}: declared {f.declared or 'any'}, observed {f.observed or 'nothing'}"
                for f in found.mismatches
            )
            raise AttestationMismatch(
                f"the {role} machine is not what was declared: {told}",
                advice="correct the definition under targets/, or the machine",
            )

    def calibrate(self, found: Attestation) -> None:
        """How much slower than this machine the target is now; the slowest machine of the cell counts."""
        reference = reference_seconds()
        if found.loop_seconds is not None and reference is not None:
            self.measured_factor = max(self.measured_factor, round(found.loop_seconds / reference, 1))
        self.facts["factor"] = {
            "declared": self.declared_factor,
            "measured": self.measured_factor,
            "used": self.factor,
        }

    def observe(self, *seen: Observation) -> None:
        seen = self.blamed(seen)
        self.record.observe(*seen)
        self.seen |= {(one.suite, one.case): one for one in seen}

    def blamed(self, seen: tuple[Observation, ...]) -> tuple[Observation, ...]:
        """A failure in whose step the laboratory disturbed the machines says nothing of the product."""
        if not any(one.result is Result.FAIL for one in seen):
            return seen
        try:
            words = "; ".join(self.disturbances(self.step_began))
        except HarnessError as error:
            words = error.message
        if not words:
            return seen
        self.record.event("disturbed", message=words)
        return tuple(
            dataclasses.replace(one, result=Result.ERROR, cause=Cause.INFRA, detail=f"{words}; then: {one.detail}")
            if one.result is Result.FAIL
            else one
            for one in seen
        )

    def observe_step(self, test: str, result: Result, **more: Any) -> None:
        case = next(case for case in self.lab.deployment_suite.cases if case.test == test)
        self.observe(Observation(case=case.id, suite=self.lab.deployment_suite.suite, result=result, **more))

    def state(self, state: State, words: str) -> None:
        self.check_cancel()
        self.record.state(state, words)

    def check_cancel(self) -> None:
        if self.lab.stopping:
            raise Canceled("canceled by the operator")
        self.check_machines()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self.step_began = time.time()
        try:
            yield
        finally:
            seconds = self.facts["seconds"]
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 2)

    # --- turns ---

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

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Share this machine with other cells."""
        with contextlib.ExitStack() as stack:
            with self.step("wait"):
                stack.enter_context(self.lab.turns.shared(self.waiting("work")))
            yield

    @contextlib.contextmanager
    def load_turn(self, machines: Machines) -> Iterator[None]:
        """Have the machine alone that is loaded. A lab host is the cell's alone by its lease, so other cells go on."""
        here = any(machine.reference.kind != "ssh" for machine in machines.of.values())
        turns = self.lab.turns
        with contextlib.ExitStack() as stack:
            with self.step("wait"):
                waiting = self.waiting("load")
                stack.enter_context(turns.alone(waiting) if here else turns.shared(waiting))
            yield

    @contextlib.contextmanager
    def teardown_in_turn(self) -> Iterator[contextlib.ExitStack]:
        """A stack of what is torn down at the end, under a turn: it must not disturb the load of another cell."""
        stack = contextlib.ExitStack()
        try:
            yield stack
        except BaseException:
            with self.lab.turns.teardown(self.waiting("teardown")):
                if not stack.__exit__(*sys.exc_info()):
                    raise
        else:
            with self.lab.turns.teardown(self.waiting("teardown")):
                stack.close()

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
            left = [(suite, case) for suite, case in self.cases if (suite, case.id) not in self.seen]
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
        if isinstance(error, Ended):
            return error
        if isinstance(error, Canceled) or self.lab.cancel.is_set():
            return Ended(Result.MISS, Cause.CANCELED, None, "canceled by the operator")
        if isinstance(error, StepTimeout):
            return Ended(Result.MISS, Cause.TIMEOUT, None, str(error))
        if isinstance(error, HarnessError):
            return Ended(Result.MISS, Cause(error.cause), None, str(error))
        text = "".join(traceback.format_exception(error))
        self.record.keep("harness-traceback.txt", text.encode())
        detail = f"unexpected {type(error).__name__}: {error} (please report it; traceback in the evidence)"
        return Ended(Result.MISS, Cause.HARNESS, None, detail)

    def blocked(self, detail: str) -> None:
        """The lab is not fit: nothing is known of the product."""
        self.observe_step("database", Result.ERROR, cause=Cause.INFRA, detail=detail)
        raise Ended(Result.MISS, Cause.INFRA, None, detail)

    def no_former(self, detail: str) -> NoReturn:
        """The version to upgrade from does not serve on this target: nothing is known of the upgrade."""
        version = self.former.version if self.former is not None else ""
        raise Ended(
            Result.MISS,
            Cause.CONFIG,
            None,
            f"the former version {version} does not serve here, so nothing can be upgraded: {detail[:1500]}",
        )

    def install_failed(self, failure: InstallFailed, seconds: float) -> None:
        if self.lab.cancel.is_set():
            raise Canceled("canceled while the environment was installed")
        if failure.cause == "product":
            log = "\n".join(failure.log.splitlines()[-25:])
            self.observe_step("install", Result.FAIL, seconds=seconds, detail=f"{failure}\n{log}")
            raise Ended(Result.SKIP, None, SkipReason.DEPENDENCY, "depends on DEP-1, which failed")
        self.observe_step("install", Result.ERROR, cause=Cause(failure.cause), seconds=seconds, detail=str(failure))
        raise Ended(Result.MISS, Cause(failure.cause), None, str(failure))

    def close(self) -> Judgement:
        """Judge what was seen and close the attempt, in one transaction."""
        every, today = self.lab.definitions.waivers, datetime.datetime.now(datetime.UTC).date()
        holding = [one for one in every if one.holds(today) and not one.files]
        for one in every:  # one that names files accepts a case if every finding of it lies in them
            if one.files and one.holds(today):
                cases = {found.rule for found in self.found if covers(one, self.found, found.rule, self.cell.axes)}
                holding += [one.model_copy(update={"files": (), "case": case}) for case in sorted(cases)]
        judgement = judge(
            self.cases,
            self.seen,
            emulated=self.emulated,
            waivers=holding,
            axes=self.cell.axes,
            asked=[suite.definition.suite for suite in self.suites_of_cell],
        )
        self.facts["waived"] = [AppliedWaiver.of(suite, case, waiver) for suite, case, waiver in judgement.waived]
        self.facts["notes"] += [
            f"waiver for {one.case} expired on {one.expires}: {one.because}"
            for one in every
            if not one.holds(today) and any(one.concerns(self.cell.axes, s, c.id) for s, c in self.cases)
        ]
        self.facts["seconds"]["total"] = round(time.monotonic() - self.began, 2)
        self.facts["attestation"] = self.attestation
        by = next((one for one in (self.emulator, *self.server_emulators.values()) if one is not None), None)
        if by is not None:
            self.facts["emulator"] = vars(by)
        facts = AttemptFacts.model_validate(self.facts)
        self.record.finish(judgement.verdict, judgement.cause, judgement.message, facts)
        return judgement
