"""What ran before the product came, and what a server beside it runs, is none of the product's: also after restarts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control import installation as module
from harness.control.before import ran_before
from harness.control.exposure import Exposure
from harness.control.installation import Installation
from harness.model.context import RanBefore
from harness.system.process import Completed
from tests.suite_runs import context

SYSTEM = {1: "/sbin/init", 200: "/usr/lib/systemd/systemd-journald", 310: "/usr/sbin/sshd -D"}
#: The same after a restart: other ids, and the product and a leftover of it have those of before.
LATER = {1: "/sbin/init", 180: "/usr/lib/systemd/systemd-journald", 290: "/usr/sbin/sshd -D"}
PRODUCT = {200: "/opt/product serve", 310: "/opt/product worker"}
LISTENING = "0: 0100007F:1F90 00000000:0000 0A local_address"


class Machine:
    """Has a boot and processes, and packages to which programs belong."""

    name = "application"
    reference = SimpleNamespace(kind="ssh")

    def __init__(self, boot: str, processes: dict[int, str]) -> None:
        self.boot, self.running = boot, processes
        self.owners: dict[str, str] = {}

    def processes(self) -> dict[int, str]:
        return self.running

    def run(self, command: str, **_more: Any) -> Completed:
        if "boot_id" in command:
            return Completed(rc=0, out=f"{self.boot}\n")
        if command.startswith("\necho $$"):
            rows = "".join(f"{pid} 1 {args}\n" for pid, args in self.running.items())
            return Completed(rc=0, out=f"7\n{rows}")
        if "PPid" in command:
            return Completed(rc=0, out="".join(f"{pid} 1\n" for pid in self.running))
        if "Uid:" in command:
            return Completed(rc=0, out="".join(f"{pid} 999\n" for pid in self.running if f" {pid}" in command))
        return Completed(rc=0, out=LISTENING)


def looks(tmp_path: Path, machine: Machine, before: RanBefore, *, members: str = "", shared: bool = False) -> Any:
    """The processes that each look takes for the product's."""
    given = context(tmp_path)
    beside = SimpleNamespace(machine=given.application_machine, embedded=not shared)
    given = given.model_copy(update={"ran_before": before, "servers": {"database": beside}})
    installation = Installation(given, machine)  # type: ignore[arg-type]
    control = SimpleNamespace(listening=lambda: members)
    deployment: Any = SimpleNamespace(context=given, machine=machine, control=control)
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(module, "control_of", lambda *_words: control)
        packages = {path: {name} for path, name in machine.owners.items()}
        monkey.setattr(
            module, "owners", lambda _each, paths: {path: packages[path] for path in paths if path in packages}
        )
        left = sorted(installation.remains()[0])
        assert left == sorted(words for _, words in Exposure(deployment, installation).processes().values())
    return left


@pytest.mark.parametrize("boot", ["first", "second"])
def test_the_machines_own_processes_are_none_of_the_products(tmp_path: Path, boot: str) -> None:
    machine = Machine("first", SYSTEM)
    before = ran_before(machine)  # type: ignore[arg-type]
    product = {pid + (boot == "first") * 1000: args for pid, args in PRODUCT.items()}
    machine.boot, machine.running = boot, {**(SYSTEM if boot == "first" else LATER), **product}
    assert looks(tmp_path, machine, before) == sorted(PRODUCT.values())


def test_command_lines_of_the_machine_are_not_laid_open(tmp_path: Path) -> None:
    before = ran_before(Machine("first", {7: "daemon --password=secret"}))  # type: ignore[arg-type]
    assert "secret" not in before.model_dump_json()
    assert RanBefore.model_validate_json(before.model_dump_json()) == before


def test_a_database_beside_the_product_is_not_the_products_when_it_was_restarted(tmp_path: Path) -> None:
    machine = Machine("first", SYSTEM)
    before = ran_before(machine)  # type: ignore[arg-type]
    machine.running = {**SYSTEM, 5000: "/usr/bin/mysqld --daemon", 5001: "/opt/product serve"}
    machine.owners = {"/usr/bin/mysqld": "mysql-server"}
    assert looks(tmp_path, machine, before, shared=True) == ["/opt/product serve"]


def test_a_product_of_an_interpreter_is_not_taken_for_the_servers_beside_it(tmp_path: Path) -> None:
    """The interpreter belongs to a package that is none of the product's."""
    machine = Machine("first", SYSTEM)
    before = ran_before(machine)  # type: ignore[arg-type]
    machine.running = {**SYSTEM, 5000: "/usr/bin/python3 -m other", 5001: "/usr/bin/python3 -m product"}
    machine.owners = {"/usr/bin/python3": "python3"}
    assert looks(tmp_path, machine, before, members="member 5001", shared=True) == ["/usr/bin/python3 -m product"]
