"""The steps from machines to a serving product; each is an observation of the deployment suite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.servers import QueryFailed
from harness.deploy.playbooks import run_playbook
from harness.deploy.words import observed
from harness.errors import InfrastructureError, StepTimeout, UsageError
from harness.model.definitions import Suite
from harness.model.results import (
    WITHOUT_DATABASE,
    WITHOUT_SCHEMA,
    WITHOUT_SERVER,
    Cause,
    Measurement,
    Observation,
    Result,
    SkipReason,
)
from harness.model.templating import render
from harness.system import shell
from harness.system.process import Completed
from harness.system.wait import wait_until

Step = Callable[[Deployment], float | None]
#: The steps of a first installation.
STEPS = ("configure", "schema", "start", "ready")


def deploy(
    deployment: Deployment, suite: Suite, steps: Sequence[str] = STEPS, further: Mapping[str, Step] | None = None
) -> Iterator[Observation]:
    """Configure, make the schema, start, wait: one observation a step, and an end at the first that fails.

    ``suite`` is the deployment suite of the catalogue; its cases name the steps by ``test``. ``further`` are steps
    beside those known here; a step gives what it measured in seconds, if anything.

    Raises:
        InfrastructureError: a machine or the database server fails; nothing is known of the product then.
        DefinitionError: a template of the product is wrong.
        UsageError: a template or a schema is not UTF-8.
    """
    known: dict[str, Step] = {
        "configure": configure,
        "schema": _schema,
        "start": start,
        "ready": lambda d: d.wait_ready(),
        "stays": lambda d: d.demand_no_end(),
        **(further or {}),
    }
    cases = {case.test: case for case in suite.cases}
    for name in steps:
        work = known[name]
        started = time.monotonic()
        base: dict[str, Any] = {"case": cases[name].id, "suite": suite.suite}
        if reason := _inapplicable(name, deployment):
            yield Observation(**base, result=Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail=reason)
            continue
        try:
            value = work(deployment)
        except ProductFault as fault:
            spent = time.monotonic() - started
            yield _failed(deployment, fault, Observation(**base, result=Result.FAIL, seconds=spent))
            return
        spent = time.monotonic() - started
        measured = (Measurement(name=name, value=round(value, 3), unit="s"),) if value is not None else ()
        slow = _beyond_declared(deployment, value) if name == "ready" and value is not None else ""
        if slow and not deployment.context.emulated:
            # The declared limit is missed, and the machine is slow: that says nothing of the product.
            yield Observation(
                **base, result=Result.ERROR, cause=Cause.INFRA, seconds=spent, measurements=measured, detail=slow
            )
            return
        words = slow or observed(name, deployment)
        yield Observation(**base, result=Result.PASS, seconds=spent, measurements=measured, detail=words)


def _inapplicable(step: str, deployment: Deployment) -> str:
    """Why a step has no meaning for the cell; empty where it has."""
    context = deployment.context
    if step == "schema" and context.database.absent:
        return WITHOUT_DATABASE
    if step == "schema" and not context.application.schema_steps.get(context.database.database):
        return WITHOUT_SCHEMA
    return WITHOUT_SERVER if step in ("start", "ready", "stays") and not deployment.context.application.serves else ""


def _beyond_declared(deployment: Deployment, seconds: float) -> str:
    """Why a product that was ready in time by the measured factor was late by the declared; empty where it was not."""
    context = deployment.context
    declared = context.application.readiness.seconds * context.declared_factor
    if seconds <= declared:
        return ""
    return (
        f"ready after {seconds:.1f} s, later than the declared {declared:.1f} s, on a machine that was slower than "
        f"declared: {deployment.terms_of_ready()}"
    )


def _failed(deployment: Deployment, fault: ProductFault, observation: Observation) -> Observation:
    """The observation of a failed step, with the party whose failure it is and the limit that the product met."""
    detail = f"{fault}\n{fault.log}".rstrip()
    diagnosis = deployment.diagnose(detail)
    match diagnosis.cause:
        case "product":
            return replace(observation, detail=f"{diagnosis.text}; before that: {detail}")
        case "infra" | "config":
            cause = Cause(diagnosis.cause)
            return replace(
                observation, result=Result.ERROR, cause=cause, detail=f"{diagnosis.text}; before that: {detail}"
            )
    return replace(observation, detail=f"{detail}\n{diagnosis.text}".rstrip())


def configure(deployment: Deployment) -> None:
    """Write the templates, run the playbooks, and what starts the product.

    Raises:
        ProductFault: a playbook fails.
        InfrastructureError: the machine does not answer.
        UsageError: a template is not UTF-8.
    """
    context = deployment.context
    values = context.values()
    _make_data_folder(deployment)
    folder = context.template_folder
    for template in context.application.templates:
        source = _decoded((folder / template.template).read_bytes(), f"the template {template.template}")
        source = source.replace("\r\n", "\n")  # whatever machine it was written on
        text = render(source, values, where=str(folder / template.template))
        deployment.machine.put(template.path, text.encode(), mode=template.mode, owner=template.owner)
    for playbook in context.application.playbooks:
        run_playbook(deployment, playbook, trusted=deployment.trusts_code)
    deployment.install_control()


def _make_data_folder(deployment: Deployment) -> None:
    """The folder of an embedded database, which is the product's: it may make its tables itself, without a schema."""
    folder = deployment.context.access.path.rpartition("/")[0]
    if not deployment.database.embedded or not folder:
        return
    user, place = shell.quote(deployment.context.application.user), shell.quote(folder)
    answer = deployment.machine.run(f"mkdir -p {place} && chown {user} {place}", timeout=60 * deployment.context.factor)
    if not answer.ok:
        raise InfrastructureError(
            f"{deployment.machine.name}: the folder of the database cannot be made: {answer.text[-300:]}",
            advice="check the machine's disk, and that the product's user exists",
        )


def _schema(deployment: Deployment) -> None:
    context = deployment.context
    steps = context.application.schema_steps.get(context.database.database, ())
    for step in steps:
        if step.command is not None:
            completed = deployment.machine.run(
                render(step.command, context.values(), where="schema"), timeout=120 * context.factor
            )
            _demand(completed, step.command)
            continue
        if step.file is not None:
            try:
                sql = _decoded(deployment.machine.get(step.file), f"the schema file {step.file}")
            except FileNotFoundError:
                raise ProductFault(
                    f"the installed product has no schema file {step.file}", f"安装后的产品缺少建表文件 {step.file}"
                ) from None
        else:
            sql = render(step.sql or "", context.values(), where="schema")
        try:
            deployment.database.query(sql)
        except QueryFailed as error:
            what = step.file or (step.sql or "")[:80]
            raise ProductFault(
                f"the database refuses the product's schema ({what}): {error}", f"数据库拒绝产品的建表语句（{what}）"
            ) from error


def _decoded(data: bytes, what: str) -> str:
    """A file of the vendor's as text. Which other encoding it has nobody says, and that is no failure of the product.

    Raises:
        UsageError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{what} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            advice="convert it (iconv -f GB18030 -t UTF-8), or feed a schema in another encoding by a `command`",
        ) from error


def _demand(completed: Completed, command: str) -> None:
    if not completed.ok:
        raise ProductFault(
            f"schema command failed (exit {completed.rc}): {command[:80]}",
            f"建表命令失败（状态码 {completed.rc}）：{command[:80]}",
            completed.text[-1500:],
        )


def start(deployment: Deployment) -> None:
    """Start the product and wait for its process.

    Raises:
        ProductFault: none appears.
        InfrastructureError: the machine does not answer.
    """
    if deployment.start():
        return

    def appeared() -> bool:
        if deployment.running():
            return True
        if (code := deployment.exit_code()) is not None:
            raise deployment.ended(code)
        return False

    try:
        wait_until(appeared, seconds=20 * deployment.context.factor, what="a process")
    except StepTimeout:
        raise ProductFault("no process appeared", "没有出现进程", deployment.log()) from None
