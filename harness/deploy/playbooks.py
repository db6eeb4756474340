"""A vendor's Ansible playbook, run on a cell's machine through the harness's own connection to it.

ansible-core is under the GPL, so it is an extra, and the harness runs it as a program and imports nothing from it.
Ansible imports a single file of the harness: ``ansible/harness_machine.py``, a connection plugin.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import harness
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.deploy.reaching import repositories
from harness.errors import DefinitionError, Fault, InfrastructureError, StepTimeout
from harness.machines.broker import Broker
from harness.model.definitions import Playbook
from harness.model.machine import MachineReference
from harness.model.templating import render
from harness.system.process import Completed, run
from harness.system.sandbox import demanded
from harness.system.scratch import temporary_folder

SECONDS = 1800.0
PLUGINS = Path(__file__).parent / "ansible"
#: Name of the machine in the inventory, and of the groups that a playbook may have its hosts in.
HOST = "application"
#: What the connection plugin says where the machine does not answer; believed of trusted playbooks alone, because any
#: playbook can print it.
LOST = "HARNESS-INFRASTRUCTURE"


def run_playbook(deployment: Deployment, playbook: Playbook, *, trusted: bool = False) -> None:
    """Run one playbook: in a sandbox, from where it reaches the machines of its cell alone, unless it is ``trusted``.

    Raises:
        ProductFault: a task of it fails.
        DefinitionError: ansible-core is not installed here.
        UsageError: it fails, and asked for what a machine may not reach.
        InfrastructureError: the machine does not answer, or this one has no sandbox.
    """
    file = deployment.context.template_folder / playbook.playbook
    program = _program()
    if program is None:
        fault = Fault(
            file=str(deployment.context.template_folder / "application.yaml"),
            line=1,
            column=1,
            message="it has playbooks, and ansible-playbook is not installed here",
            expected="pip install 'xinchuang-harness[ansible]'",
            found=playbook.playbook,
        )
        raise DefinitionError([fault])
    values = deployment.context.values()
    variables = {name: render(value, values, where="playbooks") for name, value in playbook.variables.items()}
    with repositories(deployment), contextlib.ExitStack() as stack:
        context, reference = deployment.context, deployment.machine.reference
        if trusted:
            sandbox = broker = None
            folder = Path(stack.enter_context(temporary_folder("ansible")))
        else:
            sandbox = stack.enter_context(demanded(context.template_folder))
            folder = sandbox.place
            shown = context.model_copy(update={"application_machine": reference})
            broker = stack.enter_context(Broker(shown, folder / "broker"))
            reference = broker.context.application_machine
        environment = _prepare(folder, reference, variables)
        argv = [program, "-i", str(folder / "inventory.json"), "-e", f"@{folder / 'variables.json'}", str(file)]
        if sandbox is not None:
            for path in folder.glob("*.json"):
                sandbox.give(path)
            argv = sandbox.command(argv, environment, cwd=file.parent)
        try:
            completed = run(
                argv, timeout=SECONDS * context.factor, env=environment, cwd=file.parent, cancel=deployment.cancel
            )
        except StepTimeout as error:
            raise ProductFault(
                f"the playbook {playbook.playbook} did not end: {error.message}",
                f"playbook {playbook.playbook} 未在限时内结束",
            ) from error
        deployment.machine.run("rm -rf /tmp/.harness-ansible", timeout=60)
        lost = broker.lost if broker is not None else LOST in completed.text
        _check(deployment, playbook, completed, lost=lost)


def _prepare(folder: Path, machine: MachineReference, variables: Mapping[str, str]) -> dict[str, str]:
    """Write inventory and variables of a run into ``folder``; gives the environment of ansible-playbook."""
    # Values may hold secrets: a file of our own, not the command line.
    for name, text in (("machine.json", machine.model_dump_json()), ("variables.json", json.dumps(variables))):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    host = {"ansible_connection": "harness_machine", "ansible_python_interpreter": "/usr/bin/python3"}
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {HOST: host}}}))
    return {
        "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS),
        "HARNESS_MACHINE": str(folder / "machine.json"),
        "ANSIBLE_LOCAL_TEMP": str(folder),
        "ANSIBLE_HOME": str(folder),
        # An ansible.cfg beside the playbook may choose another, which prints no recap: nothing could be judged then.
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        "ANSIBLE_PIPELINING": "0",
        "ANSIBLE_REMOTE_TEMP": "/tmp/.harness-ansible",  # noqa: S108  # on the target
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "PYTHONPATH": str(Path(harness.__file__).parents[1]),
        "LC_ALL": "C.UTF-8",
    }


def _check(deployment: Deployment, playbook: Playbook, completed: Completed, *, lost: bool) -> None:
    """Judge the end of a playbook; ``lost``: the machine did not answer meanwhile.

    Raises:
        ProductFault: a task failed, or the playbook has no play for the host.
        InfrastructureError: the machine did not answer.
    """
    if lost:
        raise InfrastructureError(
            f"{deployment.machine.name} did not answer while {playbook.playbook} ran",
            advice="see the logs of the cell, then: harness resume",
        )
    _, recap, ends = completed.out.rpartition("\nPLAY RECAP")
    if not completed.ok or not recap:
        raise ProductFault(
            f"the playbook {playbook.playbook} failed (exit {completed.rc}): {_first_failure(completed.text)}",
            f"playbook {playbook.playbook} 执行失败（状态码 {completed.rc}）",
            completed.text[-2500:],
        )
    # A play for another group, whose hosts are no machine of the cell, may stand beside those of this host.
    if not re.search(rf"^{HOST}\s+:", ends, re.MULTILINE):
        raise ProductFault(
            f"the playbook {playbook.playbook} has no play for the host {HOST}: nothing was done",
            f"playbook {playbook.playbook} 没有针对主机 {HOST} 的任务",
            completed.text[-800:],
        )


def _program() -> str | None:
    """Beside this Python first: that is where the extra puts it."""
    beside = Path(sys.executable).parent / "ansible-playbook"
    return str(beside) if beside.is_file() else shutil.which("ansible-playbook")


def _first_failure(text: str) -> str:
    lines = [line for line in text.splitlines() if re.match(r"(fatal|failed|ERROR)", line)]
    return (lines or text.strip().splitlines()[-1:] or [""])[0][:400]
