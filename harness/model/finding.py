"""What a static scan finds, and what it could not look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.definitions import Cpu, Database, Os
from harness.model.definitions.rule import Rule, Severity
from harness.model.sqlrow import SqlRow


@dataclass(frozen=True, order=True)
class Concern:
    """A target that a finding matters to: a CPU class, a system (on one architecture), or a database."""

    kind: str  #: cpu, os, database
    name: str
    architecture: str = ""  #: of an os, where only one of its architectures is meant

    def __str__(self) -> str:
        return ":".join(filter(None, (self.kind, self.name, self.architecture)))

    def holds(self, axes: Mapping[str, str], architecture: str) -> bool:
        """Whether a cell with these axes and a CPU of this architecture is such a target."""
        return axes.get(self.kind) == self.name and self.architecture in ("", architecture)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found.

    ``file`` is the file that was named, with what lies inside it after ``!/``; ``place`` where in it (``line 12``,
    ``.text+0x40``, a symbol), empty for the whole.
    """

    rule: str
    severity: Severity
    file: str
    place: str
    targets: tuple[Concern, ...]
    message: str
    advice: str
    line: int = 0  #: 1-based, 0 where there are no lines

    @property
    def where(self) -> str:
        """The file, and the place in it where there is one."""
        return f"{self.file}: {self.place}" if self.place else self.file


def finding_record(finding: Finding) -> dict[str, Any]:
    """The stable shape of a finding in JSON."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "file": finding.file,
        "place": finding.place,
        "targets": [str(target) for target in finding.targets],
        "message": finding.message,
        "advice": finding.advice,
    }


@dataclass(frozen=True, kw_only=True)
class Component:
    """A piece of software that was recognised by what its package says of itself."""

    kind: str  #: deb, rpm, pypi, npm, maven, golang, file
    name: str
    version: str
    file: str
    architecture: str = ""
    group: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Targets:
    """The targets that are declared."""

    cpus: Mapping[str, Cpu] = field(default_factory=dict)
    systems: Mapping[str, Os] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=dict)
    dialect: str = ""  #: that the application says its SQL is written in

    def systems_on(self, architecture: str) -> list[Os]:
        """Systems that are declared for this architecture: with a CPU of it, and with a release for it."""
        if not any(cpu.architecture == architecture for cpu in self.cpus.values()):
            return []
        return [
            system
            for system in self.systems.values()
            if not system.architectures or architecture in system.architectures
        ]


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """A whole scan. ``unread``: what could not be looked at, and why: of that nothing is known. ``skipped``: how many
    files nothing is looked for in, by what they are."""

    findings: tuple[Finding, ...]
    components: tuple[Component, ...]
    rules: tuple[Rule, ...]
    files: int
    bytes: int
    seconds: float
    unread: int  #: files and containers, each with a finding of its own
    skipped: Mapping[str, int] = field(default_factory=dict)
    sql: tuple[SqlRow, ...] = ()  #: a row for each statement, where they are asked for
    sql_left: int = 0  #: statements beyond the rows
