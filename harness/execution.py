"""One cell, from environment to verdict. ``run_cell`` is the order of work; nothing calls back to an earlier stage."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.database import CellDatabase
from harness.deploy import application_recipe, database_recipe, deploy
from harness.errors import AttestationMismatch, Canceled, HarnessError, StepTimeout
from harness.judging import Judgement, judge
from harness.machines import ContainerMachine, Engine
from harness.model.context import Access, CellContext
from harness.model.definitions import Case, Cpu, Database, Middleware, Os, Runtime, Suite
from harness.model.ledger import Ledger
from harness.model.plan import Cell, Definitions, LocatedSuite
from harness.model.recipe import Environment
from harness.model.results import Cause, Fidelity, Observation, Result, SkipReason, State, Verdict
from harness.model.target import Attestation
from harness.product import Deployment
from harness.provision import Environments, InstallFailed, Machines, attest, provision
from harness.provision.architecture import Emulator, emulator
from harness.provision.attestation import attest_database, attest_version, reference_seconds
from harness.runners.locust_runner import run_locust
from harness.runners.pytest_runner import run_pytest
from harness.system.forking import ForkServer
from harness.system.redact import token
from harness.system.turns import Turns

#: However slow a target is, no limit is stretched by more.
MAX_FACTOR = 100.0


class AttemptRecord(Ledger, Protocol):
    """Where one attempt is recorded."""

    hidden: list[str]
    number: int

    def state(self, state: State) -> None: ...
    def observe(self, *seen: Observation) -> None: ...
    def finish(self, verdict: Verdict, cause: Cause | None, message: str, facts: dict[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What all cells of a campaign share. ``say`` shows progress: cell, words."""

    engine: Engine
    environments: Environments
    definitions: Definitions
    deployment_suite: Suite
    campaign: str
    cancel: threading.Event  #: stop now
    drain: threading.Event  #: finish the step, then stop
    forks: ForkServer
    turns: Turns = field(default_factory=Turns)
    say: Callable[[Cell, str], None] = lambda _cell, _words: None

    @property
    def stopping(self) -> bool:
        return self.cancel.is_set() or self.drain.is_set()


@dataclass(frozen=True, kw_only=True)
class CellTarget:
    """The definitions behind a cell's axes."""

    cpu: Cpu
    os: Os
    database: Database


class _Ended(Exception):
    """The cell cannot go on; what is left of its cases gets this result."""

    def __init__(self, result: Result, cause: Cause | None, reason: SkipReason | None, detail: str) -> None:
        super().__init__(detail)
        self.result, self.cause, self.reason, self.detail = result, cause, reason, detail


def run_cell(lab: Lab, cell: Cell, record: AttemptRecord) -> Judgement:
    """Run one attempt at a cell and close it; whatever happens, it ends with a verdict in the journal.

    Raises:
        InfrastructureError: the journal or the evidence cannot be written: then nothing can be promised.
    """
    run = _CellRun(lab, cell, record)
    with contextlib.suppress(_Ended), run.ending():
        with lab.turns.shared():
            images = run.environments()
        with contextlib.ExitStack() as stack:
            with lab.turns.shared():
                machines = run.provision(images, stack)
                stack.push(run.keep_logs_of_trouble)  # runs before the machines go
                run.attest(machines)
                deployment = run.deploy(machines, images)
                run.suites(deployment, when="main", runner="pytest")
            with lab.turns.alone():
                run.suites(deployment, when="main", runner="locust")
            with lab.turns.shared():
                run.suites(deployment, when="end", runner="pytest")
                run.collect(deployment)
    return run.close()


def block_cell(lab: Lab, cell: Cell, record: AttemptRecord, reason: str) -> Judgement:
    """Record an attempt at a cell that cannot be run: the lab is not fit, nothing is known of the product."""
    run = _CellRun(lab, cell, record)
    with contextlib.suppress(_Ended), run.ending():
        raise _Ended(Result.MISS, Cause.INFRA, None, reason)
    return run.close()


def cases_of(definitions: Definitions, deployment_suite: Suite, cell: Cell) -> list[tuple[str, Case]]:
    """Every case of a cell with the suite that it belongs to."""
    cases = [(deployment_suite.suite, case) for case in deployment_suite.cases]
    suites = [definitions.suites[name].definition for name in cell.suites]
    return cases + [(suite.suite, case) for suite in suites for case in suite.cases]


class _CellRun:
    """State of one attempt while it runs."""

    def __init__(self, lab: Lab, cell: Cell, record: AttemptRecord) -> None:
        self.lab, self.cell, self.record = lab, cell, record
        definitions = lab.definitions
        self.target = CellTarget(cpu=definitions.cpus[cell.axes["cpu"]], os=definitions.systems[cell.axes["os"]],
                                 database=definitions.databases[cell.axes["database"]])  # fmt: skip
        self.application = definitions.application.for_axes(cell.axes, self.target.cpu.architecture)
        self.suites_of_cell = [definitions.suites[name] for name in cell.suites]
        self.cases = cases_of(definitions, lab.deployment_suite, cell)
        self.seen: dict[tuple[str, str], Observation] = {}
        found = (definitions.runtimes.get(cell.axes.get("runtime", "")),
                 definitions.middlewares.get(cell.axes.get("middleware", "")))  # fmt: skip
        #: Runtime and middleware: installed beside the product, attested before it is deployed.
        self.foundations: list[Runtime | Middleware] = [one for one in found if one is not None]
        self.facts: dict[str, Any] = {"seconds": {}, "notes": list(cell.notes)}
        self.emulator: Emulator | None = None
        self.attestation: list[dict[str, Any]] = []
        self.deployment: Deployment | None = None
        self.began = time.monotonic()
        self.measured_factor = 1.0

    @property
    def emulated(self) -> bool:
        return self.emulator is not None

    @property
    def factor(self) -> float:
        """What limits are scaled by: as declared for an emulated target, or as measured where that is more."""
        declared = self.cell.timeout_factor if self.emulated else 1.0
        return max(declared, min(self.measured_factor, MAX_FACTOR))

    # --- the stages, in order ---

    def environments(self) -> tuple[Environment, Environment | None]:
        """Images of product and database server, from the cache where they fit."""
        self.state(State.PROVISIONING, "environment / 环境")
        with self.step("environment"):
            self.emulator = emulator(self.target.cpu.architecture)
            self.facts["fidelity"] = (Fidelity.USER_EMULATED if self.emulated else Fidelity.CONTAINER).value
            recipe = application_recipe(self.application, os=self.target.os.os, cpu=self.target.cpu,
                                        folder=self.lab.definitions.application_folder)  # fmt: skip
            if self.target.database.placement == "embedded":
                # An embedded database is part of the product's machine, and so is its client.
                extra = tuple(p for p in self.target.database.packages if p not in recipe.packages)
                recipe = dataclasses.replace(recipe, packages=(*recipe.packages, *extra))
            needed = tuple(p for one in self.foundations for p in one.packages if p not in recipe.packages)
            recipe = dataclasses.replace(recipe, packages=(*recipe.packages, *needed))
            started = time.monotonic()
            try:
                product = self.lab.environments.ensure(recipe, self.target.os, self.record)
            except InstallFailed as failure:
                self.install_failed(failure, time.monotonic() - started)
            self.observe_step("install", Result.PASS, seconds=product.seconds)
            server = None
            if self.target.database.placement == "server":
                wanted = database_recipe(self.target.database, os=self.target.os.os,
                                         architecture=self.target.cpu.architecture)  # fmt: skip
                try:
                    server = self.lab.environments.ensure(wanted, self.target.os, self.record)
                except InstallFailed as failure:  # the lab's database, not the product under test
                    self.blocked(f"the database could not be installed: {failure.message}")
        made = [one for one in (product, server) if one is not None]
        apart = {name for one in (*self.foundations, self.target.database) for name in one.packages}
        apart -= set(self.application.packages)
        beneath = {name for one in self.foundations for name in one.packages} & apart
        self.facts["environment"] = {
            "images": [one.image for one in made], "cached": all(one.cached for one in made),
            "packages": [vars(p) for p in product.packages if p.name not in apart],
            "foundation packages": [vars(p) for p in product.packages if p.name in beneath],
            "database packages": [vars(p) for one in made for p in one.packages
                                  if p.name in self.target.database.packages],
            "notes": sorted({note for one in made for note in one.notes}),
        }  # fmt: skip
        return product, server

    def provision(self, images: tuple[Environment, Environment | None], stack: contextlib.ExitStack) -> Machines:
        with self.step("provision"):
            product, server = images
            return stack.enter_context(provision(
                self.lab.engine, campaign=self.lab.campaign, attempt=str(self.record.number), short=self.cell.short,
                cpu=self.target.cpu, emulated=self.emulated, application=self.application,
                database=self.target.database, application_image=product.image,
                database_image=server.image if server is not None else None, ledger=self.record,
            ))  # fmt: skip

    def attest(self, machines: Machines) -> None:
        """Declared against observed, before anything is tested; a mismatch blocks the cell."""
        self.state(State.ATTESTING, "attest / 核验")
        with self.step("attest"):
            every: dict[str, ContainerMachine] = {"application": machines.application}
            if machines.database is not machines.application:
                every["database"] = machines.database
            with ThreadPoolExecutor(len(every)) as pool:
                found = pool.map(
                    lambda one: attest(one, self.target.cpu, self.target.os, self.emulator), every.values()
                )
                for role, attestation in zip(every, found, strict=True):
                    self.keep_attestation(role, attestation)
                    self.calibrate(attestation)
            for one in self.foundations:
                kind = type(one).__name__.lower()
                version = machines.application.run(one.version, timeout=60 * self.factor)
                self.keep_attestation("application", attest_version(kind, version.text, one.declared))

    def deploy(self, machines: Machines, images: tuple[Environment, Environment | None]) -> Deployment:
        self.state(State.DEPLOYING, "deploy / 部署")
        with self.step("deploy"):
            context = self.context(machines, images[0])
            self.record.hidden[:] = context.hidden()
            deployment = self.deployment = Deployment.of(context, self.lab.engine)
            self.start_database(deployment.database)
            for one in deploy(deployment, self.lab.deployment_suite):
                self.observe(one)
                if one.result is Result.ERROR:
                    raise _Ended(Result.MISS, one.cause, None, one.detail)
                if one.result is not Result.PASS:
                    detail = f"depends on {one.case}, which failed"
                    raise _Ended(Result.SKIP, None, SkipReason.DEPENDENCY, detail)
                self.check_cancel()
            if self.application.version_command:
                done = deployment.machine.run(self.application.version_command, timeout=60)
                self.facts["version"] = done.out.strip()
        self.facts["seconds"]["deployed"] = round(time.monotonic() - self.began, 2)
        return deployment

    def suites(self, deployment: Deployment, *, when: str, runner: str) -> None:
        """Run those suites of the cell that this runner serves; cases of ``when`` only."""
        for suite in self.suites_of_cell:
            if suite.definition.runner != runner:
                continue
            cases = tuple(case for case in suite.definition.cases if case.when == when)
            if not cases:
                continue
            self.state(State.RUNNING, suite.definition.suite)
            with self.step(suite.definition.suite):
                self.observe(*self.run_suite(suite, cases, deployment))
            self.check_cancel()

    def run_suite(self, suite: LocatedSuite, cases: tuple[Case, ...], deployment: Deployment) -> list[Observation]:
        if suite.definition.runner == "locust":
            return run_locust(suite, deployment, self.record, self.lab.cancel)
        return run_pytest(suite, cases, deployment.context, self.record, self.lab.cancel, self.lab.forks)

    def collect(self, deployment: Deployment) -> None:
        self.state(State.COLLECTING, "collect / 收集")
        with self.step("collect"):
            self.keep_logs(deployment)

    def close(self) -> Judgement:
        """Judge what was seen and close the attempt, in one transaction."""
        every, today = self.lab.definitions.waivers, datetime.datetime.now(datetime.UTC).date()
        holding = [one for one in every if one.holds(today)]
        judgement = judge(self.cases, self.seen, emulated=self.emulated, waivers=holding, axes=self.cell.axes)
        self.facts["waived"] = [{"suite": suite, "case": case, **one.model_dump(mode="json")}
                                for suite, case, one in judgement.waived]  # fmt: skip
        self.facts["notes"] += [
            f"waiver for {one.case} expired on {one.expires}: {one.because}"
            for one in every
            if not one.holds(today) and any(one.concerns(self.cell.axes, s, c.id) for s, c in self.cases)
        ]
        self.facts["seconds"]["total"] = round(time.monotonic() - self.began, 2)
        self.facts["attestation"] = self.attestation
        if self.emulator is not None:
            self.facts["emulator"] = vars(self.emulator)
        self.record.finish(judgement.verdict, judgement.cause, judgement.message, self.facts)
        return judgement

    # --- ends ---

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the cell early becomes an observation of every case that is still open."""
        try:
            try:
                yield
            except Exception as error:  # an unknown error is ours, never the product's
                raise self.ended(error) from error
        except _Ended as end:
            left = [(suite, case) for suite, case in self.cases if (suite, case.id) not in self.seen]
            self.observe(*(
                Observation(case=case.id, suite=suite, result=end.result, cause=end.cause, skip_reason=end.reason,
                            detail=end.detail[:2000])
                for suite, case in left
            ))  # fmt: skip
            raise

    def ended(self, error: Exception) -> _Ended:
        if isinstance(error, _Ended):
            return error
        if isinstance(error, Canceled) or self.lab.cancel.is_set():
            return _Ended(Result.MISS, Cause.CANCELED, None, "canceled by the operator")
        if isinstance(error, StepTimeout):
            return _Ended(Result.MISS, Cause.TIMEOUT, None, str(error))
        if isinstance(error, HarnessError):
            return _Ended(Result.MISS, Cause(error.cause), None, str(error))
        text = "".join(traceback.format_exception(error))
        self.record.keep("harness-traceback.txt", text.encode())
        detail = f"unexpected {type(error).__name__}: {error} (please report it; traceback in the evidence)"
        return _Ended(Result.MISS, Cause.HARNESS, None, detail)

    def blocked(self, detail: str) -> None:
        """The lab is not fit: nothing is known of the product."""
        self.observe_step("database", Result.ERROR, cause=Cause.INFRA, detail=detail)
        raise _Ended(Result.MISS, Cause.INFRA, None, detail)

    def install_failed(self, failure: InstallFailed, seconds: float) -> None:
        if self.lab.cancel.is_set():
            raise Canceled("canceled while the environment was installed")
        if failure.cause == "product":
            log = "\n".join(failure.log.splitlines()[-25:])
            self.observe_step("install", Result.FAIL, seconds=seconds, detail=f"{failure}\n{log}")
            raise _Ended(Result.SKIP, None, SkipReason.DEPENDENCY, "depends on DEP-1, which failed")
        self.observe_step("install", Result.ERROR, cause=Cause(failure.cause), seconds=seconds, detail=str(failure))
        raise _Ended(Result.MISS, Cause(failure.cause), None, str(failure))

    # --- pieces ---

    def context(self, machines: Machines, product: Environment) -> CellContext:
        database = self.target.database
        embedded = database.placement == "embedded"
        access = Access(kind=database.database, path=database.path or "") if embedded else Access(
            kind=database.database, host="database", port=database.port or 0, password=token())  # fmt: skip
        own = {p.name for p in product.packages} & set(self.application.packages)
        others = {name for one in (*self.foundations, database) for name in one.packages}
        from_files = {p.name for p in product.packages if p.version} - others
        return CellContext(
            campaign=self.lab.campaign, cell=self.cell.id, attempt=self.record.number, axes=self.cell.axes,
            architecture=self.target.cpu.architecture, emulated=self.emulated,
            qemu_cpu=self.target.cpu.emulation.user if self.emulated else None, factor=self.factor,
            application=self.application, database=database, access=access,
            secrets={name: token() for name in self.application.secrets},
            application_machine=machines.application.container, database_machine=machines.database.container,
            ports={name: machines.application.address(port) for name, port in self.application.ports.items()},
            template_folder=self.lab.definitions.application_folder, installed=tuple(sorted(own | from_files)),
        )  # fmt: skip

    def start_database(self, database: CellDatabase) -> None:
        started = time.monotonic()
        try:
            database.start()
            if not database.embedded:
                database.create()
            facts = attest_database(database.version(), self.target.database.settings, database.settings())
            self.keep_attestation("database", facts)
        except AttestationMismatch:
            raise
        except HarnessError as error:
            self.blocked(str(error))
        self.observe_step("database", Result.PASS, seconds=time.monotonic() - started)

    def keep_attestation(self, role: str, found: Attestation) -> None:
        self.attestation += [{"machine": role, **vars(fact)} for fact in found.facts]
        self.record.event("attestation", machine=role, facts=[vars(fact) for fact in found.facts])
        if found.mismatches:
            told = "; ".join(f"{f.name}: declared {f.declared or 'any'}, observed {f.observed or 'nothing'}"
                             for f in found.mismatches)  # fmt: skip
            raise AttestationMismatch(f"the {role} machine is not what was declared: {told}",
                                      advice="correct the definition under targets/, or the machine")  # fmt: skip

    def calibrate(self, found: Attestation) -> None:
        """How much slower than this machine the target is now; the slowest machine of the cell counts."""
        reference = reference_seconds()
        if found.loop_seconds is not None and reference is not None:
            self.measured_factor = max(self.measured_factor, round(found.loop_seconds / reference, 1))
        self.facts["factor"] = {"measured": self.measured_factor, "used": self.factor}

    def keep_logs(self, deployment: Deployment) -> None:
        self.record.keep("application.log", deployment.log(5000).encode())
        path = self.target.database.log
        if path is not None:
            done = deployment.database.machine.run(f"tail -n 5000 '{path}'", timeout=60)
            self.record.keep("database.log", done.out.encode())

    def keep_logs_of_trouble(self, kind: type[BaseException] | None, *_: object) -> None:
        """Early failures keep their logs too."""
        if kind is not None and self.deployment is not None:
            with contextlib.suppress(HarnessError):
                self.keep_logs(self.deployment)

    def observe(self, *seen: Observation) -> None:
        self.record.observe(*seen)
        self.seen |= {(one.suite, one.case): one for one in seen}

    def observe_step(self, test: str, result: Result, **more: Any) -> None:
        case = next(case for case in self.lab.deployment_suite.cases if case.test == test)
        self.observe(Observation(case=case.id, suite=self.lab.deployment_suite.suite, result=result, **more))

    def state(self, state: State, words: str) -> None:
        self.check_cancel()
        self.record.state(state)
        self.lab.say(self.cell, words)

    def check_cancel(self) -> None:
        if self.lab.stopping:
            raise Canceled("canceled by the operator")

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = self.facts["seconds"]
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 2)
