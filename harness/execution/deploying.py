"""Brings the product of a cell up, with the servers that it needs, and looks what became of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from functools import partial

from harness.attest.attestation import attest_database, attest_version
from harness.attest.versions import line_of, states
from harness.control.before import ran_before
from harness.control.capturing import begin_capture
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.servers import CellDatabase, CellServer
from harness.deploy import deploy, words
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError
from harness.execution.attempt import Attempt, Ended
from harness.execution.contexts import Secrets, context_of
from harness.execution.endpoints import DATABASE, attest_endpoint
from harness.execution.imaging import attest_imaged, prepare_image
from harness.execution.making import Target
from harness.execution.programs import notes_of_writing, observe_programs
from harness.execution.upgrading import upgrade
from harness.model.attestation import Attestation, Fact
from harness.model.results import WITHOUT_DATABASE, Cause, Result, SkipReason, State
from harness.provision.provisioner import APPLICATION
from harness.system import shell


def deploy_product(attempt: Attempt, target: Target, secrets: Secrets, stack: contextlib.ExitStack) -> Deployment:
    """Start the servers and deploy the product, straight or over a former version. ``stack`` stops them all, and keeps
    their logs where the cell ends early."""
    attempt.state(State.DEPLOYING, "deploy / 部署")
    with attempt.step("deploy"):
        attempt.product_began = attempt.step_began
        context, machines = context_of(attempt, target, secrets), target.machines
        attempt.record.hidden[:] = context.hidden()
        deployment = Deployment.on(context, machines.application, {role: machines.on(role) for role in context.servers})
        deployment.cancel, deployment.trusts_code = attempt.lab.cancel, attempt.lab.trusts_code
        deployment.outlet = machines.outlet
        stack.callback(_stop_all, attempt, target, deployment)
        stack.push(partial(_keep_logs_of_trouble, attempt, deployment))  # runs first
        if attempt.placed.image is not None:
            prepare_image(attempt, target, deployment, secrets)
        start_servers(attempt, deployment)
        shared = any(role.name not in machines.of for role in target.serving.roles)
        if target.serving.provisioner.kind == "host" and shared:
            # The product must leave no process behind; the processes of a server on the same machine are not its own.
            before = ran_before(machines.application)
            deployment.context = context.model_copy(update={"ran_before": before})
        if attempt.placed.former is None:
            attempt.follow(deploy(deployment, attempt.lab.deployment_suite))
        else:
            upgrade(attempt, target, attempt.placed.former, deployment)
        check_version(attempt, deployment)
        _attest_group(attempt, target, deployment)
    attempt.spend("deployed", time.monotonic() - attempt.began)
    return deployment


def start_servers(attempt: Attempt, deployment: Deployment) -> None:
    """Start every server of the cell, the database last, and look what they are."""
    started, known = time.monotonic(), len(attempt.facts.attestation)
    try:
        for role, server in sorted(deployment.servers.items(), key=lambda item: item[0] == "database"):
            server.start()
            _attest_server(attempt, role, server)
    except AttestationMismatch:
        raise
    except HarnessError as error:
        attempt.blocked(str(error))
    seconds = time.monotonic() - started
    if attempt.placed.database.absent:
        reason = SkipReason.NOT_APPLICABLE
        attempt.observe_step("database", Result.SKIP, skip_reason=reason, seconds=seconds, detail=WITHOUT_DATABASE)
    else:
        shown = words.attested(attempt.facts.attestation[known:], DATABASE)
        attempt.observe_step("database", Result.PASS, seconds=seconds, detail=shown)


def _attest_server(attempt: Attempt, role: str, server: CellServer) -> None:
    if not isinstance(server, CellDatabase):
        attempt.keep_attestation(role, attest_version(role, server.version(), server.definition.declared))
        return
    if not server.embedded:
        server.create()
        if any(suite.definition.suite == "database/conformance" for suite in attempt.suites):
            begin_capture(server)
    if server.definition.absent:
        return
    if server.external:
        attempt.keep_attestation(role, attest_endpoint(server))
        return
    if attempt.placed.image is not None:
        attempt.keep_attestation(role, attest_imaged(server, attempt.placed.image))
        return
    attempt.keep_attestation(role, attest_database(server.definition, server.version(), server.settings()))


def _attest_group(attempt: Attempt, target: Target, deployment: Deployment) -> None:
    """Record what holds the product's processes together; in a container only where nothing does."""
    if not attempt.placed.application.serves:
        return
    group = deployment.control.group()
    shown = group or "none: root can make none there"
    if target.serving.provisioner.kind != "container":
        attempt.keep_attestation(
            APPLICATION, Attestation(facts=(Fact(name="cgroup of the product", declared="", observed=shown),))
        )
    if not group:
        attempt.note(
            "the product has no cgroup of its own on this machine: a process that leaves its session, its environment "
            "and its parents is not found by stop and kill / 该机器上产品没有独立的 cgroup，脱离会话、环境和父进程的"
            "进程无法被停止和强制终止所发现"
        )


def check_version(attempt: Attempt, deployment: Deployment) -> None:
    """Whether the product says that it is the version that the report would name; else nothing is certified.

    Raises:
        Ended: it is another version, or it does not say.
    """
    application, began = attempt.placed.application, time.monotonic()
    if not application.version_command:
        _check_packages(attempt, deployment.context.installed)
        return
    completed = deployment.machine.run(application.version_command, timeout=60 * deployment.context.factor)
    if not completed.ok:
        if trouble := deployment.lab_trouble():
            raise Ended(Result.MISS, Cause.INFRA, None, f"{trouble}; before that: version_command failed")
        raise Ended(
            Result.MISS,
            Cause.CONFIG,
            None,
            f"version_command failed (exit {completed.rc}), so the version under test is not known: "
            f"{completed.text[-500:]}\n"
            "  next: correct version_command in application.yaml",
        )
    shown = line_of(completed.text, application.version)[:200]
    attempt.learn(version=shown)
    if not states(completed.text, application.version):
        raise Ended(
            Result.MISS,
            Cause.CONFIG,
            None,
            f"declared is version {application.version}, and version_command prints {shown or 'nothing'}: "
            "nothing can be said of the version that is declared\n"
            "  next: correct version in application.yaml, or submit what it names",
        )
    attempt.observe_step(
        "version",
        Result.PASS,
        seconds=time.monotonic() - began,
        detail=f"declared {application.version}; version_command prints: {shown}",
        evidence=(attempt.record.keep("version.txt", completed.text.encode()),),
    )


def _check_packages(attempt: Attempt, own: Collection[str]) -> None:
    """Whether one of the product's ``own`` packages is of the declared version, where no command says it. A package of
    another version says nothing against it: a product may be made of parts. The package manager named the versions
    when they were installed."""
    version = attempt.placed.application.version
    environment = attempt.facts.environment
    packages = [package for package in (environment.packages if environment is not None else ()) if package.name in own]
    lines = [f"{package.name} {package.version}" for package in packages]
    if stating := [package for package in packages if states(package.version, version)]:
        shown = f"{stating[0].name} {stating[0].version}"
        attempt.learn(version=shown)
        attempt.observe_step(
            "version",
            Result.PASS,
            detail=f"declared {version}; installed is package {shown}",
            evidence=(attempt.record.keep("version.txt", "\n".join(lines).encode()),),
        )
        return
    installed = f"; installed are {', '.join(lines)[:300]}" if lines else ""
    attempt.observe_step(
        "version",
        Result.SKIP,
        skip_reason=SkipReason.NOT_APPLICABLE,
        detail=f"version {version} is declared and was not observed: the application has no version_command{installed}"
        " / 版本为声明值，未经观测：未声明 version_command",
    )


def look_back(attempt: Attempt, target: Target, deployment: Deployment) -> None:
    """What only the end shows: whether the product stayed, and whether all its programs were of the target's kind.

    Raises:
        InfrastructureError: something restarted a machine of the cell.
    """
    if words := "; ".join(target.machines.restarts()):
        attempt.record.event("disturbed", message=words)
        raise InfrastructureError(words, advice="find out what restarts it, then: harness resume")
    # Fixtures start a product again that has ended: that is no excuse for the end.
    # What was done to the machines at any time is one: a product may end because its database was away.
    attempt.step_began = attempt.product_began
    attempt.observe(*deploy(deployment, attempt.lab.deployment_suite, ("stays",)))
    with attempt.step("programs"):
        observe_programs(target.machines, attempt.placed.cpu.architecture, attempt.observe_step)
        attempt.note(*notes_of_writing(target.machines))
        attempt.note(*(words for words in target.machines.openings() if words not in attempt.facts.notes))


def collect(attempt: Attempt, deployment: Deployment) -> None:
    """Keep the logs of product and servers."""
    attempt.state(State.COLLECTING, "collect / 收集")
    with attempt.step("collect"):
        _keep_logs(attempt, deployment)


def _keep_logs(attempt: Attempt, deployment: Deployment) -> None:
    for name, text in deployment.logs(5000).items():
        attempt.record.keep(f"{name}.log", text.encode())
    for role, server in deployment.servers.items():
        if server.definition.log is not None:
            completed = server.machine.run(f"tail -n 5000 {shell.quote(server.definition.log)}", timeout=60)
            attempt.record.keep(f"{role}.log", completed.out.encode())


def _keep_logs_of_trouble(
    attempt: Attempt, deployment: Deployment, kind: type[BaseException] | None, *_: object
) -> None:
    """Early failures keep their logs too."""
    if kind is not None:
        with contextlib.suppress(HarnessError):
            _keep_logs(attempt, deployment)


def _stop_all(attempt: Attempt, target: Target, deployment: Deployment) -> None:
    """Stop product and servers where their machine stays: what is stopped in order leaves nothing behind."""
    if target.serving.provisioner.kind != "host":
        return
    try:
        attempt.check_machines()
    except HarnessError:  # it is another's now, and so is what runs there
        return
    with contextlib.suppress(HarnessError, ProductFault):
        deployment.stop()
    with contextlib.suppress(HarnessError):
        deployment.remove_control()
    for server in deployment.servers.values():
        with contextlib.suppress(HarnessError):
            if not server.embedded and not server.external:
                server.stop()
