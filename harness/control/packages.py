"""Asks a machine's package manager, of either family, about installed packages: dpkg-query(1), rpm(8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.machine import Machine
from harness.system import shell

#: Left out of the images, or of no use to a program.
_DOCUMENTATION = ("/usr/share/man/", "/usr/share/doc/")


@dataclass(frozen=True, kw_only=True)
class PackageState:
    """``listed`` is what the manager prints, ``incomplete`` its lines of packages that are not installed in whole,
    ``changed`` its lines of files that differ from what their package says."""

    listed: str
    incomplete: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]  #: line and path


def files_of(machine: Machine, names: Sequence[str], *, seconds: float) -> list[str]:
    """Paths of everything in packages, folders too.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    words = shell.join(names)
    answer = machine.run(f"dpkg-query -L {words} 2>/dev/null || rpm -ql {words}", timeout=seconds)
    return [line for line in answer.out.splitlines() if line.startswith("/")]


def state_of(machine: Machine, names: Sequence[str], *, seconds: float) -> PackageState:
    """Whether packages are installed in whole, and as they were made. Raises as ``files_of``."""
    words = shell.join(names)
    form = "'ii  %{NAME} %{VERSION}-%{RELEASE}\\n'"
    script = f"""
if f=$(dpkg-query -W -f '${{db:Status-Abbrev}} ${{Package}} ${{Version}}\\n' {words} 2>&1)
then echo "$f"; echo == changed; dpkg --verify {words}
elif ! command -v rpm >/dev/null; then echo "$f"
else LC_ALL=C.UTF-8; export LC_ALL; rpm -q --qf {form} {words}; echo == changed; rpm -V {words}
fi; true"""
    answer = machine.run(script, timeout=seconds)
    listed, _, changed = answer.out.partition("== changed\n")
    lines = changed.splitlines()
    lacking = [line.strip() for line in lines if re.match(r"Unsatisfied dependencies|\s.* is needed by ", line)]
    differ = [(line, line[line.index("/") :]) for line in lines if "/" in line and line.strip() not in lacking]
    return PackageState(
        listed=listed,
        incomplete=(*(line for line in listed.splitlines() if not line.startswith("ii ")), *lacking),
        changed=tuple((line, path) for line, path in differ if not any(folder in path for folder in _DOCUMENTATION)),
    )
