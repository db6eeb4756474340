"""Which package manager testinfra's host asks."""

from __future__ import annotations

from typing import Any

import pytest

from harness.runners.pytest.testinfra import MachineBackend
from harness.system.process import Completed

BY_NAME = "cat /etc/os-release"


class Programs:
    """A machine on which only commands with these beginnings succeed."""

    name = "programs"

    def __init__(self, *known: str) -> None:
        self.known = known

    def run(self, command: str, **_: Any) -> Completed:
        found = command.startswith(self.known)
        return Completed(rc=0 if found else 1, out="ID=openEuler\n" if command == BY_NAME and found else "")


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        (("rpm -q", "dpkg-query --", "command -v"), "RpmPackage"),  # an RPM system with the tools of the other family
        (("rpm -q rpm",), "RpmPackage"),
        (("dpkg-query -W dpkg", "command -v"), "DebianPackage"),
        (("dpkg-query -W dpkg", "command -v", "rpm --"), "DebianPackage"),  # and the reverse
    ],
)
def test_the_package_manager_that_the_system_is_made_of_is_asked(known: tuple[str, ...], kind: str) -> None:
    machine: Any = Programs(BY_NAME, *known)
    host = MachineBackend(machine).get_host()
    assert host.package.__name__ == kind
    assert host.package is host.package
