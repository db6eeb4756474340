"""Findings about what the loader and the kernel of a system take."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.definitions import Rule
from harness.model.finding import Concern, Finding, Targets
from harness.scan.groups import Binaries, finding


def symbol_version(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Symbol versions above those of a system's library: ``prefix``, and ``of``, the key that has the system's."""
    prefix, of = rule.parameters["prefix"], rule.parameters["of"]
    own = {(f.unit, f.machine) for f in binaries.facts if f.soname == rule.parameters["library"]}
    for fact in binaries.facts:
        needs = fact.versions.get(prefix, ())
        if not needs or not fact.runs:
            continue
        concerned: dict[Concern, str] = {}
        for system in targets.systems_on(fact.machine):
            has = str(getattr(system, of) or "")
            if has and tuple(map(int, has.split("."))) < needs:
                concerned[Concern("os", system.os, fact.machine)] = has
        if concerned:
            brought = (fact.unit, fact.machine) in own
            wanted = prefix + ".".join(map(str, needs))
            has = ", ".join(f"{concern.name} has {version}" for concern, version in sorted(concerned.items()))
            message = f"needs {wanted}; {has}" + (
                f"; the package brings its own {rule.parameters['library']}" if brought else ""
            )
            yield finding(rule, fact.place, concerned, message, place=wanted, severity="info" if brought else None)


def loongarch_world(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files of the old world for systems of the new one, and the other way round."""
    for fact in binaries.facts:
        if not fact.world or not fact.runs:
            continue
        there = binaries.worlds[fact.key]
        concerned = [
            Concern("os", system.os, "loongarch64")
            for system in targets.systems_on("loongarch64")
            if system.loongarch_world is not None and system.loongarch_world not in there
        ]
        if concerned:
            yield finding(rule, fact.place, concerned, f"built for the {fact.world} world of LoongArch")


def page_alignment(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Loadable segments that are aligned to less than a page of a system's kernel."""
    for fact in binaries.facts:
        if not fact.runs or not fact.alignment:
            continue
        concerned = {
            Concern("os", system.os, fact.machine): system.page_size[fact.machine]
            for system in targets.systems_on(fact.machine)
            if system.page_size.get(fact.machine, 0) > fact.alignment
        }
        if concerned:
            pages = ", ".join(f"{size >> 10} KiB" for size in sorted(set(concerned.values())))
            message = f"segments are aligned to {fact.alignment >> 10} KiB; pages are of {pages}"
            yield finding(rule, fact.place, concerned, message, place="program headers")


def marker(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Libraries that are linked in and fix a page size when they are built; on systems with larger pages than 4 KiB."""
    below = rule.parameters.get("below")
    for fact in binaries.facts:
        excerpt = fact.markers.get(rule.id)
        if not excerpt:
            continue
        number = re.search(r"\d+(?:\.\d+)*", excerpt)
        if below is not None and (number is None or _numbers(number[0]) >= _numbers(str(below))):
            continue
        concerned = [
            Concern("os", system.os, fact.machine)
            for system in targets.systems_on(fact.machine)
            if system.page_size.get(fact.machine, 4096) > 4096
        ]
        if concerned:
            yield finding(rule, fact.place, concerned, f"contains {excerpt!r}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
