"""What the end of a vendor's playbook is taken for, as ansible-playbook itself says it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.fault import ProductFault
from harness.deploy.playbooks import run_playbook
from harness.model.definitions import Playbook
from harness.provision.provisioner import no_outlet
from harness.system.process import Completed

DEBUG = "  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: no hosts matched}\n"
EMPTY = "  gather_facts: false\n  tasks: []\n"


def deployment(folder: Path) -> Any:
    machine = SimpleNamespace(
        reference=SimpleNamespace(model_dump_json=lambda: "{}"),
        name="application",
        run=lambda *_, **__: Completed(rc=0),
    )
    context = SimpleNamespace(template_folder=folder, values=dict, factor=1.0)
    return SimpleNamespace(context=context, machine=machine, cancel=threading.Event(), outlet=no_outlet)


def play(hosts: str, tasks: str = DEBUG) -> str:
    return f"- hosts: {hosts}\n{tasks}"


@pytest.mark.parametrize(
    ("plays", "fault"),
    [
        (play("db") + play("all") + play("web"), ""),
        (play("db") + play("application_old"), "has no play for the host application"),
        (play("application", EMPTY), "has no play for the host application"),
    ],
    ids=["also other groups", "others alone", "no task"],
)
def test_a_playbook_is_judged_by_what_ran_on_its_machine(tmp_path: Path, plays: str, fault: str) -> None:
    """Also where a file beside it asks for output without a recap."""
    (tmp_path / "site.yml").write_text(plays)
    (tmp_path / "ansible.cfg").write_text("[defaults]\nstdout_callback = minimal\n")
    with pytest.raises(ProductFault, match=fault) if fault else contextlib.nullcontext():
        run_playbook(deployment(tmp_path), Playbook(playbook="site.yml"), trusted=True)
