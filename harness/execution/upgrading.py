"""A cell that upgrades: the former version with data in it, then the one that is tested, and back and forth again."""

from __future__ import annotations

import dataclasses
import time
from functools import partial

from harness.attest.versions import line_of, states
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.deploy import deploy, words
from harness.deploy.upgrading import Version, back_and_forth, fill, has_data, switch
from harness.execution.attempt import Attempt
from harness.execution.contexts import own_packages, repository_packages
from harness.execution.making import Target, recipe_of, record_environments
from harness.model.definitions import Application
from harness.model.plan import UPGRADE
from harness.model.recipe import Environment, PackageFact
from harness.model.results import Result, SkipReason
from harness.provision.installing import InstallFailed
from harness.provision.provisioner import APPLICATION


def upgrade(attempt: Attempt, target: Target, former: Application, deployment: Deployment) -> None:
    """Deploy the former version, fill it, upgrade it to the one under test, and look what became of it."""
    suite = attempt.lab.deployment_suite
    how = attempt.placed.application.former[attempt.cell.axes[UPGRADE]]
    before, present = _versions(attempt, former, deployment)
    for observation in deploy(before.control, suite):
        if observation.result not in (Result.PASS, Result.SKIP):  # a step may have no meaning: no database, no server
            attempt.no_former(former.version, f"{observation.case}: {observation.detail}")
    check_former(attempt, before.control)
    try:
        keys = fill(before.control)
        before.control.stop()
    except ProductFault as fault:
        attempt.no_former(former.version, str(fault))
    _install_over(attempt, target, present)
    order = [
        "upgrade",
        "start",
        "ready",
        *(["kept"] if keys else []),
        *(["rollback"] if how.rollback is not None else []),
    ]
    _leave_out(attempt, "schema", f"the tables are those of version {former.version}")
    _leave_out(attempt, "configure", "part of the upgrade")
    if not keys:
        _leave_out(attempt, "kept", "the application declares no resource, so no data was looked at")
    if how.rollback is None:
        _leave_out(attempt, "rollback", "the application declares no rollback")
    steps = {
        "upgrade": lambda control: switch(control, how.upgrade),
        "kept": lambda control: has_data(control, keys),
        "rollback": lambda _: back_and_forth(before, present, how, keys),
    }
    attempt.follow(deploy(present.control, suite, order, steps))


def check_former(attempt: Attempt, control: Deployment) -> None:
    """Whether what was installed says that it is the former version; else a way back to it would be judged by a
    version that the definition has wrong."""
    application = control.context.application
    if not application.version_command:
        return
    printed = control.machine.run(application.version_command, timeout=60 * control.context.factor).text
    if not states(printed, application.version):
        shown = line_of(printed, application.version)[:200] or "nothing"
        attempt.no_former(application.version, f"version_command prints {shown}; correct the version that is declared")


def _versions(attempt: Attempt, former: Application, deployment: Deployment) -> tuple[Version, Version]:
    """Both versions on the same machines, each with what is installed for it over the other."""
    context, patience = deployment.context.model_copy(update={"application": former}), deployment.context.factor
    machines = {role: server.machine for role, server in deployment.servers.items()}
    present = recipe_of(attempt, attempt.placed.application)
    # Packages of the system that both versions need are there.
    there = {*former.packages, *former.needed}
    added = tuple(name for name in present.packages if name not in there)
    needed = tuple(name for name in attempt.placed.application.needed if name not in there)
    version = partial(Version, os=attempt.placed.os, ledger=attempt.record)
    return (
        version(
            control=dataclasses.replace(
                Deployment.on(context, deployment.machine, machines),
                cancel=deployment.cancel,
                trusts_code=deployment.trusts_code,
                outlet=deployment.outlet,
            ),
            recipe=dataclasses.replace(recipe_of(attempt, former), packages=(), patience=patience),
        ),
        version(
            control=deployment,
            recipe=dataclasses.replace(present, packages=(*added, *needed), beneath=needed, patience=patience),
        ),
    )


def _install_over(attempt: Attempt, target: Target, present: Version) -> None:
    """Put the version under test over the former one, and record what the machine is made of now."""
    started = time.monotonic()
    try:
        packages = present.install(downgrade=False)
    except InstallFailed as failure:
        attempt.install_failed(failure, time.monotonic() - started)
    shown = words.installed(packages, attempt.placed.application)
    attempt.observe_step("install", Result.PASS, seconds=time.monotonic() - started, detail=shown)
    product = _upgraded(attempt, target.product, packages)
    record_environments(attempt, {**target.environments, APPLICATION: product})
    own = {
        "installed": own_packages(attempt.placed, product),
        "from_repositories": repository_packages(attempt.placed, product),
    }
    present.control.context = present.control.context.model_copy(update=own)


def _upgraded(attempt: Attempt, product: Environment, packages: list[PackageFact]) -> Environment:
    """What the product's machine is made of after the upgrade: that is what report and certificate name."""
    placed, replaced = attempt.placed, {package.name for package in packages}
    kept = (
        package
        for package in product.packages
        if package.name not in replaced and package.came_for({*placed.beneath, *placed.application.packages})
    )
    return dataclasses.replace(product, packages=(*kept, *packages))


def _leave_out(attempt: Attempt, step: str, why: str) -> None:
    attempt.observe_step(step, Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail=why)
