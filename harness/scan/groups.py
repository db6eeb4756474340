"""All ELF files of a scan together, and findings about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from harness.model.definitions import Cpu, Rule, Severity
from harness.model.finding import Component, Concern, Finding, Targets
from harness.scan.facts import ElfFact
from harness.scan.images import Manifest


class Packages(Protocol):
    """What packages and images say of themselves, as ``harness.scan.gathering.Facts`` has it."""

    labels: list[tuple[str, str, str]]
    components: list[Component]
    images: dict[str, set[str]]
    configurations: dict[str, str]
    manifests: list[Manifest]
    platforms: list[tuple[str, str]]
    claims: list[tuple[str, str, tuple[str, ...]]]
    roots: set[str]


@dataclass
class Binaries:
    """All ELF files of a scan, with what groups of them have in common."""

    facts: list[ElfFact]
    packages: Packages

    def __post_init__(self) -> None:
        self.by_key: dict[str, set[str]] = defaultdict(set)
        self.by_unit: dict[str, set[str]] = defaultdict(set)
        #: Libraries that something is linked with: they are loaded whatever the CPU has.
        self.linked = {name for fact in self.facts for name in fact.needed}
        self.worlds: dict[str, set[str]] = defaultdict(set)  #: of LoongArch, by key
        inside: dict[str, set[str]] = defaultdict(set)
        for fact in self.facts:
            if fact.runs:
                self.by_key[fact.key].add(fact.machine)
                self.by_unit[fact.unit].add(fact.machine)
                self.worlds[fact.key].add(fact.world)
                inside[fact.place.rpartition("!/")[0]].add(fact.machine)
        for unit, place, architecture in self.packages.labels:
            if not inside[place] or architecture in inside[place]:  # a package may say what it is not
                self.by_unit[unit].add(architecture)

    def missing(self, fact: ElfFact, targets: Targets) -> tuple[list[Cpu], list[Cpu]]:
        """CPU classes for which neither the file nor its package has a variant; those for which only the package has.

        32-bit x86 programs run on x86-64.
        """
        there = self.by_key[fact.key] | ({"x86_64"} if "i386" in self.by_key[fact.key] else set())
        package = self.by_unit[fact.unit] if fact.unit_kind != "tree" else set()
        lacking = [cpu for cpu in targets.cpus.values() if cpu.architecture not in there]
        return (
            [c for c in lacking if c.architecture not in package],
            [c for c in lacking if c.architecture in package],
        )


def finding(
    rule: Rule,
    file: str,
    targets: Iterable[Concern],
    message: str,
    *,
    place: str = "",
    line: int = 0,
    severity: Severity | None = None,
) -> Finding:
    """A finding of a rule about a file; ``severity`` replaces that of the rule."""
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        file=file,
        place=place,
        line=line,
        targets=tuple(sorted(set(targets))),
        message=message,
        advice=rule.advice.en,
    )


def cpus(every: Iterable[Cpu]) -> list[Concern]:
    """CPU classes as targets that a finding concerns."""
    return [Concern("cpu", cpu.cpu) for cpu in every]
