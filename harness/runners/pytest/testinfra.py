"""pytest-testinfra's host over any machine of a cell."""

from __future__ import annotations

import functools
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host
from testinfra.modules.package import DebianPackage, Package, RpmPackage

from harness.model.machine import Machine

__all__ = ["Host", "MachineBackend"]

#: Limit of one command; that of the whole case comes first as a rule.
SECONDS = 600.0


class CellHost(Host):  # type: ignore[misc]  # it has no types
    """A host whose ``package`` asks the package manager that the system is made of.

    testinfra goes by the names of systems and knows none of the domestic ones: it would take dpkg on every system
    that has that tool, and openEuler, Kylin or UOS with it says of every package that it is not installed.
    """

    @functools.cached_property
    def package(self) -> type[Package]:
        """The class of packages of the manager that has itself in its database."""
        for kind, itself in ((DebianPackage, "dpkg-query -W dpkg"), (RpmPackage, "rpm -q rpm")):
            if self.run(itself).rc == 0:
                return type(kind.__name__, (kind,), {"_host": self})
        by_name: type[Package] = Package.get_module(self)
        return by_name


class MachineBackend(BaseBackend):  # type: ignore[misc]  # it has no types
    """Runs the commands of testinfra's modules by ``Machine.run``, so what a machine loses is the lab's trouble."""

    NAME = "harness"

    def __init__(self, machine: Machine) -> None:
        super().__init__(hostname=machine.name)
        self._encoding = "utf-8"  # what a machine gives is text already
        self.machine = machine

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Run a command, with its arguments quoted.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        line = self.get_command(command, *args)
        completed = self.machine.run(line, timeout=SECONDS)
        return self.result(completed.rc, self.encode(line), completed.out.encode(), completed.err.encode())

    def get_host(self) -> Host:
        """The host that a suite gets."""
        return CellHost(self)
