"""Brings the product of a cell up, straight or over a former version, with the servers that it needs."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable

from harness.attest.attestation import attest_database, attest_version
from harness.attest.versions import line_of, states
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.deploy import deploy
from harness.deploy.upgrading import Upgrade
from harness.errors import AttestationMismatch, HarnessError
from harness.execution.attempt import Ended
from harness.execution.scanning import Scanning
from harness.model.definitions import Application
from harness.model.plan import UPGRADE
from harness.model.recipe import Environment
from harness.model.results import Cause, Observation, Result, SkipReason, State
from harness.provision.installing import InstallFailed, install_over
from harness.provision.provisioner import Machines
from harness.system import shell


class Deploying(Scanning):
    """Context, servers, product, logs."""

    def deploy(self, machines: Machines, product: Environment) -> Deployment:
        self.state(State.DEPLOYING, "deploy / 部署")
        with self.step("deploy"):
            context = self.context(machines, product)
            self.record.hidden[:] = context.hidden()
            deployment = self.deployment = Deployment.on(
                context, machines.application, machines.on("database"), machines.on("middleware")
            )
            deployment.cancel = self.lab.cancel
            self.start_servers(deployment)
            if self.provisioner.kind == "host" and len(machines.of) < len(self.roles):
                # A server that shares the product's machine is none of what the product must not leave behind.
                before = tuple(machines.application.processes())
                deployment.context = context.model_copy(update={"ran_before": before})
            if self.former is None:
                self.follow(deploy(deployment, self.lab.deployment_suite))
            else:
                self.upgrade(self.former, deployment)
            self.check_version(deployment)
        self.facts["seconds"]["deployed"] = round(time.monotonic() - self.began, 2)
        return deployment

    def check_version(self, deployment: Deployment) -> None:
        """Whether the product says that it is the version that the report would name; else nothing is certified."""
        command, declared = self.application.version_command, self.application.version
        if not command:
            return
        done = deployment.machine.run(command, timeout=60 * self.factor)
        if not done.ok:
            if trouble := deployment.lab_trouble():
                raise Ended(Result.MISS, Cause.INFRA, None, f"{trouble}; before that: version_command failed")
            raise Ended(
                Result.MISS,
                Cause.CONFIG,
                None,
                f"version_command failed (exit {done.rc}), so the version under test is not known: {done.text[-500:]}\n"
                "  next: correct version_command in application.yaml",
            )
        printed = done.text
        self.facts["version"] = line_of(printed, declared)[:200]
        if not states(printed, declared):
            raise Ended(
                Result.MISS,
                Cause.CONFIG,
                None,
                f"declared is version {declared}, and version_command prints {self.facts['version'] or 'nothing'}: "
                "nothing can be said of the version that is declared\n"
                "  next: correct version in application.yaml, or submit what it names",
            )

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
                made = dataclasses.replace(made, cancel=self.lab.cancel)
                controls[of is former] = dataclasses.replace(made, middleware=deployment.middleware)
            return controls[of is former]

        def install(of: Application, downgrade: bool) -> None:
            recipe = self.recipe_of(of)  # packages of the system that both versions need are there
            more = () if of is former else tuple(name for name in recipe.packages if name not in former.packages)
            facts = install_over(
                deployment.machine,
                dataclasses.replace(recipe, packages=more),
                self.target.os,
                self.record,
                downgrade=downgrade,
                cancel=self.lab.cancel,
            )
            self.record.event("installed-over", version=of.version, packages=[vars(fact) for fact in facts])
            if of is not former:  # what is tested, and what report and certificate name
                kept = tuple(
                    fact
                    for fact in self.made_of["application"].packages
                    if fact.name in self.beneath or fact.name in of.packages
                )
                replaced = {fact.name for fact in facts}
                made = dataclasses.replace(
                    self.made_of["application"],
                    packages=(*(fact for fact in kept if fact.name not in replaced), *facts),
                )
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
        self.observe_step(
            "schema",
            Result.SKIP,
            skip_reason=SkipReason.NOT_APPLICABLE,
            detail=f"the tables are those of version {former.version}",
        )
        order = ["upgrade", "start", "ready"]
        if steps.keys:
            order.append("kept")
        else:
            self.observe_step(
                "kept",
                Result.SKIP,
                skip_reason=SkipReason.NOT_APPLICABLE,
                detail="the application declares no http.resource, so no data was looked at",
            )
        if how.rollback is None:
            self.observe_step(
                "rollback",
                Result.SKIP,
                skip_reason=SkipReason.NOT_APPLICABLE,
                detail="the application declares no rollback",
            )
        else:
            order.append("rollback")
        self.observe_step("configure", Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail="part of the upgrade")
        self.follow(
            deploy(
                deployment,
                suite,
                order,
                {"upgrade": steps.upgrade, "kept": steps.kept, "rollback": steps.back_and_forth},
            )
        )

    def start_servers(self, deployment: Deployment) -> None:
        """Start database and middleware, and look what they are."""
        started = time.monotonic()
        database, middleware = deployment.database, deployment.middleware
        try:
            if middleware is not None:
                middleware.start()
                self.keep_attestation(
                    "middleware", attest_version("middleware", middleware.version(), middleware.definition.declared)
                )
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
                done = server.machine.run(
                    f"tail -c 4000000 {shell.quote(server.definition.log)} | tail -n 5000", timeout=60
                )
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
