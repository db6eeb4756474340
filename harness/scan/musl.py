"""Programs and libraries of another C library than that of the systems."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.definitions import Rule, Severity
from harness.model.finding import Concern, Finding, Targets
from harness.scan.groups import Binaries, finding

#: A file, its folder, or a package around it that is named for musl.
_NAMED = re.compile(r"(?:musl|alpine)[^/]*(?:(?:/[^/]*)?$|!/)", re.IGNORECASE)


def foreign_libc(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files that ask for the loader or the library of another libc (``loader``, ``library``), and do not bring it.

    A library whose path says that it is for musl is one of several variants, and chosen by that path; a program may be.
    Inside of a container, such as an image, whatever lies there may bring it; beside it, only what lies in the same
    folder or further up.
    """
    loader, library = re.compile(rule.parameters["loader"]), re.compile(rule.parameters["library"])
    brought = {
        (_outermost(fact.place), fact.machine)
        for fact in binaries.facts
        if library.fullmatch(fact.soname)
        or loader.search(fact.place)
        or library.fullmatch(fact.place.rpartition("/")[2])
    }
    reported: set[tuple[str, str]] = set()
    for fact in binaries.facts:
        asks = fact.interpreter if loader.search(fact.interpreter) else ""
        asks = asks or next((name for name in fact.needed if library.fullmatch(name)), "")
        key = (fact.key, fact.machine)
        if not fact.runs or not asks or key in reported or (_outermost(fact.place), fact.machine) in brought:
            continue
        reported.add(key)
        concerned = [Concern("os", system.os, fact.machine) for system in targets.systems_on(fact.machine)]
        if concerned:
            named = bool(_NAMED.search(fact.place))
            severity: Severity | None = None if not named else "warning" if fact.program else "info"
            message = f"it asks for {asks}, which no glibc system has" + ("; its path says so" if named else "")
            yield finding(rule, fact.place, concerned, message, severity=severity)


def _outermost(place: str) -> str:
    """The container that a file lies in, the folder where it lies in none."""
    outer, inside, _ = place.partition("!/")
    return outer if inside else place.rpartition("/")[0]
