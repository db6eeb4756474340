"""Which packages of a system its files belong to, as dpkg and rpm say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.provision.searching import literal

#: Runs a script over paths as its arguments; gives what it prints, split at NUL (``Installation.each``).
Each = Callable[[str, Sequence[str]], list[str]]

# dpkg is asked once for all of them: a start of it takes a fifth of a second under emulation, and a package that the
# product needs may have brought hundreds of files.
_DPKG = """LC_ALL=C dpkg-query -S "$@" 2>/dev/null; printf '\\0'"""
_RPM = """if command -v rpm >/dev/null; then for f; do
p=$(rpm -qf --qf '%{NAME}\\n' "$f" 2>/dev/null) && printf '%s\\0%s\\0' "$f" "$p"; done; fi"""
_STATES = """dpkg-query -W -f '${Package} ${db:Status-Status}\\n' "$@" 2>/dev/null; printf '\\0'"""
_REAL = 'for f; do printf "%s\\0" "$(readlink -f "$f")"; done'


def owners(each: Each, paths: Sequence[str]) -> dict[str, set[str]]:
    """Path -> names of the packages that have it, now or before they were removed; no key where no package has it.

    A package may name its file by /lib where the system has merged that into /usr/lib: both names are asked for.

    Raises:
        InfrastructureError: not all could be asked for (from ``each``).
    """
    names = {path: {path, path.removeprefix("/usr")} for path in paths}
    asked = sorted(set().union(*names.values()) - {""})
    packages = _of_dpkg(each, asked)
    given = {
        path: set().union(*(packages.get(name, set()) for name in own))
        for path, own in names.items()
        if any(name in packages for name in own)
    }
    answers = each(_RPM, [path for path in paths if path not in given])
    for path, text in zip(answers[::2], answers[1::2], strict=True):
        given[path] = set(text.split())
    return given


def owned(each: Each, paths: Sequence[str]) -> set[str]:
    """Those of ``paths``, files and links to files, that belong to a package that is installed. dpkg also knows the
    files of removed packages.

    Raises:
        InfrastructureError: not all could be asked for (from ``each``).
    """
    known = _installed(each, owners(each, paths))
    rest = [path for path in paths if path not in known]
    targets = dict(zip(rest, each(_REAL, rest), strict=True))
    real = _installed(each, owners(each, sorted({target for target in targets.values() if target})))
    return known | {path for path, target in targets.items() if target in real}


def _of_dpkg(each: Each, paths: Sequence[str]) -> dict[str, set[str]]:
    """Path -> packages of dpkg's lists: lines ``package, package:architecture: /path``."""
    packages: dict[str, set[str]] = {}
    for line in "".join(each(_DPKG, [literal(path) for path in paths])).splitlines():
        names, separator, path = line.partition(": /")
        if separator and not names.startswith(("diversion by ", "local diversion")):
            packages.setdefault(f"/{path}", set()).update(name.split(":")[0] for name in names.split(", "))
    return packages


def _installed(each: Each, packages: dict[str, set[str]]) -> set[str]:
    """Paths of which a package is installed now. What dpkg does not know, rpm has named, which knows nothing else."""
    names = set().union(*packages.values())
    lines = [line.split(" ") for line in "".join(each(_STATES, sorted(names))).splitlines()]
    here = {line[0] for line in lines if line[-1] == "installed"} | (names - {line[0] for line in lines})
    return {path for path, own in packages.items() if own & here}
