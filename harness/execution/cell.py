"""One cell, from environment to verdict. ``run_cell`` is the order of work; nothing calls back to an earlier stage."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from harness.definitions import rules_of
from harness.deploy import application_recipe, deploy, server_recipe
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError
from harness.execution.attempt import Attempt, Ended
from harness.execution.lab import AttemptRecord, Lab
from harness.execution.upgrading import Upgrade
from harness.judging import Judgement
from harness.model.context import Access, CellContext
from harness.model.definitions import Application, Case, Rule
from harness.model.finding import Finding, ScanResult, Targets, finding_record
from harness.model.plan import UPGRADE, Cell, LocatedSuite
from harness.model.recipe import Environment, Recipe
from harness.model.results import Cause, Fidelity, Observation, Result, SkipReason, State
from harness.product import Deployment, Installation, ProductFault
from harness.provision import InstallFailed, Machines, Names, Role, install_over
from harness.provision.attestation import attest_database, attest_version
from harness.runners.locust_runner import run_locust
from harness.runners.pytest_runner import run_pytest
from harness.scan import scan
from harness.scan.cases import concerning, observations
from harness.scan.product import product_files, targets_of
from harness.system.redact import token

#: Where the product's files are put together for the static scan, on the target.
_TAR = "/tmp/.harness-scan.tar"  # noqa: S108  # the container is the harness's own


def run_cell(lab: Lab, cell: Cell, record: AttemptRecord) -> Judgement:
    """Run one attempt at a cell and close it; whatever happens, it ends with a verdict in the journal.

    Raises:
        InfrastructureError: the journal or the evidence cannot be written: then nothing can be promised.
    """
    run = _CellRun(lab, cell, record)
    with contextlib.suppress(Ended), run.ending():
        with lab.turns.shared():
            run.static()
            environments = run.environments()
        with contextlib.ExitStack() as stack:
            with lab.turns.shared():
                machines = run.provision(environments, stack)
                stack.callback(run.stop_all)
                stack.push(run.keep_logs_of_trouble)  # runs before the machines go
                run.attest(machines)
                product = run.install(machines, environments)
                run.static(machines, product)
                deployment = run.deploy(machines, product)
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
    with contextlib.suppress(Ended), run.ending():
        raise Ended(Result.MISS, Cause.INFRA, None, reason)
    return run.close()


class _CellRun(Attempt):
    """The stages, in order."""

    def environments(self) -> dict[str, Environment | None]:
        """What product and database server are made of, from the cache where they fit; None where they are installed
        on the machine itself."""
        self.state(State.PROVISIONING, "environment / 环境")
        with self.step("environment"):
            placement = self.lab.placement(self.cell)
            if placement.kind is None or placement.fidelity is None:
                told = " and ".join(cpu.cpu for _, cpu in self.lab.definitions.machines(self.cell.axes).values())
                raise AttestationMismatch(f"nothing here can serve {told}: {placement.by}",
                                          advice="run the cell on such a host; see: harness targets check")  # fmt: skip
            self.provisioner = self.lab.provisioners[placement.kind]
            self.emulator = self.provisioner.emulator(self.target.cpu)
            self.server_emulators = {role: self.provisioner.emulator(cpu)
                                     for role, (_, cpu) in self.target.servers.items()}  # fmt: skip
            self.found_as(placement.fidelity)
            self.roles = self.roles_of()
            return {role.name: self.made(role, partial(self.provisioner.environment, role, self.record))
                    for role in self.roles}  # fmt: skip

    def roles_of(self) -> tuple[Role, ...]:
        """The machines that the cell needs."""
        target = self.target
        recipe = self.recipe_of(self.former or self.application)
        # An embedded database is part of the product's machine, and so is its client.
        beneath = [*(target.database.packages if target.database.placement == "embedded" else ()),
                   *(name for one in self.foundations for name in one.packages)]  # fmt: skip
        extra = tuple(name for name in dict.fromkeys(beneath) if name not in recipe.packages)
        recipe = dataclasses.replace(recipe, packages=(*recipe.packages, *extra))
        roles = [Role(name="application", os=target.os, cpu=target.cpu, recipe=recipe, limits=self.application.limits,
                      ports=tuple(self.application.ports.values()),
                      systemd=self.application.service is not None)]  # fmt: skip
        for name, (system, cpu) in target.servers.items():
            server = target.middleware if name == "middleware" else target.database
            assert server is not None
            roles.append(Role(name=name, os=system, cpu=cpu, limits=server.limits,
                              recipe=server_recipe(server, os=system.os, architecture=cpu.architecture)))  # fmt: skip
        return tuple(roles)

    def recipe_of(self, application: Application) -> Recipe:
        target = self.target
        return application_recipe(application, os=target.os.os, cpu=target.cpu,
                                  folder=self.lab.definitions.application_folder)  # fmt: skip

    def made(self, role: Role, work: Callable[[], Environment | None]) -> Environment | None:
        """Install what a role needs, and record it."""
        started = time.monotonic()
        try:
            environment = work()
        except InstallFailed as failure:
            if role.name == "application" and self.former is not None:
                self.no_former(failure.message)
            if role.name == "application":
                self.install_failed(failure, time.monotonic() - started)
            # A server of the lab, not the product under test.
            self.blocked(f"the {role.name} could not be installed: {failure.message}")
        if environment is not None:
            if role.name == "application" and self.former is None:
                self.observe_step("install", Result.PASS, seconds=environment.seconds)
            self.made_of[role.name] = environment
        return environment

    def install(self, machines: Machines, environments: dict[str, Environment | None]) -> Environment:
        """Install on the machines what was not installed before; gives the product's environment."""
        for role in self.roles:
            if environments[role.name] is None:
                self.state(State.PROVISIONING, "install / 安装")
                machine = machines.on(role.name)
                with self.step("environment"):
                    self.made(role, partial(self.provisioner.install, machine, role, self.record))
        self.record_environment()
        return self.made_of["application"]

    def record_environment(self) -> None:
        """Put into the record what product and servers are made of."""
        every = list(self.made_of.values())
        product = self.made_of["application"]
        apart = self.beneath - set(self.application.packages)
        foundation = {name for one in self.foundations for name in one.packages} & apart
        self.facts["environment"] = {
            "images": [one.image for one in every if one.image], "cached": all(one.cached for one in every),
            "packages": [vars(p) for p in product.packages if p.name not in apart],
            "foundation packages": [vars(p) for p in product.packages if p.name in foundation],
            "database packages": [vars(p) for one in every for p in one.packages
                                  if p.name in self.target.database.packages],
            "notes": sorted({note for one in every for note in one.notes}),
        }  # fmt: skip

    def static(self, machines: Machines | None = None, product: Environment | None = None) -> None:
        """Static scans: of what lies beside the definition before anything is made, so also where nothing can serve the
        cell; of a product without files of its own as its packages are installed."""
        architecture = self.target.cpu.architecture
        files = product_files(self.application, self.lab.definitions.application_folder, architecture)
        if bool(files) == (machines is not None):
            return
        for suite in (one for one in self.suites_of_cell if one.definition.runner == "scan"):
            self.state(State.RUNNING, suite.definition.suite)
            with self.step(suite.definition.suite):
                rules = rules_of(suite.folder)
                targets = targets_of(self.lab.definitions, architecture)
                make: Callable[[], ScanResult | None]
                if files:
                    names = {path: str(path.relative_to(self.lab.definitions.application_folder)) for path in files}
                    key: tuple[object, ...] = (suite.digest, architecture, tuple(files))
                    make = partial(scan, files, rules, targets, names=names)
                else:
                    assert machines is not None
                    assert product is not None
                    # What is installed on a lab host comes from its own repositories: it is nobody else's.
                    key = (suite.digest, product.image or self.cell.id)
                    make = partial(self.scan_installed, machines, product, rules, targets)
                result = self.lab.scans.get(key, make)
                mine = () if result is None else tuple(concerning(result, self.cell.axes, architecture))
                self.found += mine
                kept = (self.keep_findings(suite, mine),) if mine else ()
                self.observe(*observations(suite.definition.suite, suite.definition.cases, result, self.cell.axes,
                                           architecture, kept))  # fmt: skip

    def scan_installed(self, machines: Machines, product: Environment, rules: tuple[Rule, ...],
                       targets: Targets) -> ScanResult | None:  # fmt: skip
        """Scan the files of the product's packages; None where it has none."""
        context = self.context(machines, product)
        paths = "\n".join(path.lstrip("/") for path in Installation(context, machines.application).files())
        if not paths:
            return None
        script = ('cd / && while read -r f; do if [ -f "$f" ] && [ ! -L "$f" ]; then echo "$f"; fi; done '
                  f"| tar -cf {_TAR} -T - && chmod 0600 {_TAR}")  # fmt: skip
        done = machines.application.run(script, stdin=paths, timeout=120 * self.factor)
        if not done.ok:
            raise InfrastructureError(f"the files of the product could not be read: {done.text.strip()[-300:]}",
                                      advice="see the logs of the cell")  # fmt: skip
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(machines.application.get(_TAR))
            file.flush()
            machines.application.run(f"rm -f {_TAR}", timeout=60)
            path = Path(file.name)
            return scan([path], rules, targets, names={path: self.application.application})

    def keep_findings(self, suite: LocatedSuite, findings: tuple[Finding, ...]) -> str:
        text = json.dumps([finding_record(one) for one in findings], ensure_ascii=False, indent=1)
        return self.record.keep(f"{suite.definition.suite.replace('/', '-')}.json", text.encode(), "application/json")

    def provision(self, environments: dict[str, Environment | None], stack: contextlib.ExitStack) -> Machines:
        with self.step("provision"):
            names = Names(campaign=self.lab.campaign, cell=self.cell.short, attempt=str(self.record.number))
            machines = stack.enter_context(self.provisioner.machines(self.roles, environments, names, self.record))
            if machines.fidelity is not None:
                self.found_as(machines.fidelity)
            self.check_machines = machines.check
            self.ran_before = tuple(machines.application.processes()) if self.provisioner.kind != "container" else ()
            return machines

    def found_as(self, fidelity: Fidelity) -> None:
        self.fidelity = fidelity
        self.facts["fidelity"] = fidelity.value

    def attest(self, machines: Machines) -> None:
        """Declared against observed, before anything is tested; a mismatch blocks the cell."""
        self.state(State.ATTESTING, "attest / 核验")
        with self.step("attest"):
            roles = [role for role in self.roles if role.name in machines.of]
            on = [machines.on(role.name) for role in roles]
            with ThreadPoolExecutor(len(roles)) as pool:
                found = pool.map(self.provisioner.attest, on, roles)
                for role, attestation in zip(roles, found, strict=True):
                    self.keep_attestation(role.name, attestation)
                    self.calibrate(attestation)
            for one in self.foundations:
                kind = type(one).__name__.lower()
                version = machines.application.run(one.version, timeout=60 * self.factor)
                self.keep_attestation("application", attest_version(kind, version.text, one.declared))

    def deploy(self, machines: Machines, product: Environment) -> Deployment:
        self.state(State.DEPLOYING, "deploy / 部署")
        with self.step("deploy"):
            context = self.context(machines, product)
            self.record.hidden[:] = context.hidden()
            deployment = self.deployment = Deployment.on(
                context, machines.application, machines.on("database"), machines.on("middleware"))  # fmt: skip
            self.start_servers(deployment)
            if self.provisioner.kind == "host" and len(machines.of) < len(self.roles):
                # A server that shares the product's machine is none of what the product must not leave behind.
                before = tuple(machines.application.processes())
                deployment.context = context.model_copy(update={"ran_before": before})
            if self.former is None:
                self.follow(deploy(deployment, self.lab.deployment_suite))
            else:
                self.upgrade(self.former, deployment)
            if self.application.version_command:
                done = deployment.machine.run(self.application.version_command, timeout=60)
                self.facts["version"] = done.out.strip()
        self.facts["seconds"]["deployed"] = round(time.monotonic() - self.began, 2)
        return deployment

    def follow(self, steps: Iterable[Observation]) -> None:
        """Record the steps of a deployment; the first that does not pass ends the cell."""
        for one in steps:
            self.observe(one)
            if one.result is Result.ERROR:
                raise Ended(Result.MISS, one.cause, None, one.detail)
            if one.result is not Result.PASS:
                detail = f"depends on {one.case}, which failed"
                raise Ended(Result.SKIP, None, SkipReason.DEPENDENCY, detail)
            self.check_cancel()

    def upgrade(self, former: Application, deployment: Deployment) -> None:
        """Deploy the former version, fill it, upgrade it to the one under test, and look what became of it."""
        suite, how = self.lab.deployment_suite, self.application.former[self.cell.axes[UPGRADE]]
        controls = {False: deployment}

        def control(of: Application) -> Deployment:
            if (of is former) not in controls:
                context = deployment.context.model_copy(update={"application": of})
                made = Deployment.on(context, deployment.machine, deployment.database.machine)
                controls[of is former] = dataclasses.replace(made, middleware=deployment.middleware)
            return controls[of is former]

        def install(of: Application, downgrade: bool) -> None:
            recipe = self.recipe_of(of)  # packages of the system that both versions need are there
            more = () if of is former else tuple(name for name in recipe.packages if name not in former.packages)
            facts = install_over(deployment.machine, dataclasses.replace(recipe, packages=more), self.target.os,
                                 self.record, downgrade=downgrade, cancel=self.lab.cancel)  # fmt: skip
            self.record.event("installed-over", version=of.version, packages=[vars(fact) for fact in facts])
            if of is not former:  # what is tested, and what report and certificate name
                kept = tuple(fact for fact in self.made_of["application"].packages if fact.name in self.beneath
                             or fact.name in of.packages)  # fmt: skip
                replaced = {fact.name for fact in facts}
                made = dataclasses.replace(self.made_of["application"], packages=(
                    *(fact for fact in kept if fact.name not in replaced), *facts))  # fmt: skip
                self.made_of["application"] = made
                self.record_environment()
                deployment.context = deployment.context.model_copy(update={"installed": self.installed_of(made)})

        before = control(former)
        for one in deploy(before, suite):
            if one.result is not Result.PASS:
                self.no_former(f"{one.case}: {one.detail}")
        steps = Upgrade(former, self.application, how, install, control)
        try:
            steps.fill()
            before.stop()
        except ProductFault as fault:
            self.no_former(str(fault))
        started = time.monotonic()
        try:
            install(self.application, False)
        except InstallFailed as failure:
            self.install_failed(failure, time.monotonic() - started)
        self.observe_step("install", Result.PASS, seconds=time.monotonic() - started)
        self.observe_step("schema", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE,
                          detail=f"the tables are those of version {former.version}")  # fmt: skip
        order = ["upgrade", "start", "ready"]
        if steps.keys:
            order.append("kept")
        else:
            self.observe_step("kept", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE,
                              detail="the application declares no http.resource, so no data was looked at")  # fmt: skip
        if how.rollback is None:
            self.observe_step("rollback", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE,
                              detail="the application declares no rollback")  # fmt: skip
        else:
            order.append("rollback")
        self.observe_step("configure", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE,
                          detail="part of the upgrade")  # fmt: skip
        self.follow(deploy(deployment, suite, order, {"upgrade": steps.upgrade, "kept": steps.kept,
                                                      "rollback": steps.back_and_forth}))  # fmt: skip

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
                seen = self.run_suite(suite, cases, deployment)
                self.check_machines()  # what was seen on a machine that is another's by now says nothing
                self.observe(*seen)
            self.check_cancel()

    def run_suite(self, suite: LocatedSuite, cases: tuple[Case, ...], deployment: Deployment) -> list[Observation]:
        if suite.definition.runner == "locust":
            return run_locust(suite, deployment, self.record, self.lab.cancel)
        return run_pytest(suite, cases, deployment.context, self.record, self.lab.cancel, self.lab.forks)

    def collect(self, deployment: Deployment) -> None:
        self.state(State.COLLECTING, "collect / 收集")
        with self.step("collect"):
            self.keep_logs(deployment)

    # --- pieces ---

    @property
    def model(self) -> str | None:
        """QEMU's model of the product's CPU, where it is emulated."""
        if self.emulator is None:
            return None
        emulation = self.target.cpu.emulation
        return emulation.user if self.emulator.kind == "qemu-user" else emulation.system

    def context(self, machines: Machines, product: Environment) -> CellContext:
        database = self.target.database
        embedded = database.placement == "embedded"
        access = (
            Access(kind=database.database, path=database.path or "")
            if embedded
            else Access(
                kind=database.database, host=machines.address("database"), port=database.port or 0, password=token()
            )
        )
        return CellContext(
            campaign=self.lab.campaign, cell=self.cell.id, attempt=self.record.number, axes=self.cell.axes,
            architecture=self.target.cpu.architecture, emulated=self.emulated,
            qemu_cpu=self.model, factor=self.factor,
            application=self.application, database=database, access=access,
            secrets={name: token() for name in self.application.secrets},
            application_machine=machines.application.reference, database_machine=machines.on("database").reference,
            **self.broker(machines),
            ran_before=self.ran_before,
            ports={name: machines.application.address(port) for name, port in self.application.ports.items()},
            template_folder=self.lab.definitions.application_folder, installed=self.installed_of(product),
        )  # fmt: skip

    def installed_of(self, product: Environment) -> tuple[str, ...]:
        """Names of the product's own packages."""
        own = {p.name for p in product.packages} & set(self.application.packages)
        from_files = {p.name for p in product.packages if p.version} - self.beneath
        return tuple(sorted(own | from_files))

    def broker(self, machines: Machines) -> dict[str, Any]:
        """What the context says of middleware that is a server."""
        found = self.target.middleware
        if found is None:
            return {}
        access = Access(kind=found.middleware, host=machines.address("middleware"), port=found.port or 0,
                        password=token())  # fmt: skip
        return {"middleware": found, "middleware_access": access,
                "middleware_machine": machines.on("middleware").reference}  # fmt: skip

    def start_servers(self, deployment: Deployment) -> None:
        """Start database and middleware, and look what they are."""
        started = time.monotonic()
        database, middleware = deployment.database, deployment.middleware
        try:
            if middleware is not None:
                middleware.start()
                self.keep_attestation("middleware", attest_version("middleware", middleware.version(),
                                                                   middleware.definition.declared))  # fmt: skip
            database.start()
            if not database.embedded:
                database.create()
            facts = attest_database(self.target.database, database.version(), database.settings())
            self.keep_attestation("database", facts)
        except AttestationMismatch:
            raise
        except HarnessError as error:
            self.blocked(str(error))
        self.observe_step("database", Result.PASS, seconds=time.monotonic() - started)

    def keep_logs(self, deployment: Deployment) -> None:
        self.record.keep("application.log", deployment.log(5000).encode())
        for role, server in (("database", deployment.database), ("middleware", deployment.middleware)):
            if server is not None and server.definition.log is not None:
                done = server.machine.run(f"tail -n 5000 '{server.definition.log}'", timeout=60)
                self.record.keep(f"{role}.log", done.out.encode())

    def stop_all(self) -> None:
        """Stop product and database where their machine stays: what is stopped in order leaves nothing behind."""
        deployment = self.deployment
        if deployment is None or self.provisioner.kind != "host":
            return
        try:
            self.check_machines()
        except HarnessError:  # it is another's now, and so is what runs there
            return
        with contextlib.suppress(HarnessError, ProductFault):
            deployment.stop()
        with contextlib.suppress(HarnessError):
            deployment.remove_control()
        for server in (deployment.database, deployment.middleware):
            with contextlib.suppress(HarnessError):
                if server is not None and not server.embedded:
                    server.stop()

    def keep_logs_of_trouble(self, kind: type[BaseException] | None, *_: object) -> None:
        """Early failures keep their logs too."""
        if kind is not None and self.deployment is not None:
            with contextlib.suppress(HarnessError):
                self.keep_logs(self.deployment)
