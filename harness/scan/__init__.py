"""Static porting scan: finds what in a product's files will break, and on which declared target. It runs nothing.

Usage::

    result = scan([Path("dist")], rules, targets)
    [finding.message for finding in result.findings if finding.severity == "blocker"]

The scan reads each file once, into facts, in a process with limits (``readers``). Facts do not depend on the targets,
except that only those instructions are looked for that some target lacks. Rules then hold the facts against the
targets. A rule is data (``harness.model.definitions.Rule``) and the detector that it names.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model.definitions import Database, Rule, Severity
from harness.model.finding import Component, Concern, Finding, ScanResult, Targets
from harness.model.sqlrow import SqlRow
from harness.scan import binaries, golang, packages, sql, sqltable, texts, troubles
from harness.scan.asides import aside
from harness.scan.gathering import Facts
from harness.scan.groups import Binaries, cpus, finding
from harness.scan.listing import inputs_of
from harness.scan.readers import gather

#: Detectors beside those of ``binaries``; ``Scan`` gives each the facts that it needs.
OTHERS = (*texts.DETECTORS, "go-variants", "sql", "component", "format", "unread", "unparsed", "names", "links")
DETECTORS = (*binaries.DETECTORS, *OTHERS)
SEVERITIES = ("blocker", "warning", "info")


class Scan:
    """Facts of any number of inputs, and the findings that rules make of them."""

    def __init__(
        self, rules: Sequence[Rule], targets: Targets, *, hashes: bool = False, statements: bool = False
    ) -> None:
        self.rules, self.targets, self.hashes, self.statements = rules, targets, hashes, statements
        self.facts = Facts()

    def add(self, path: Path, name: str = "") -> None:
        """Read an input: a file or a folder. ``name``: what findings call it by, instead of its path.

        Raises:
            InfrastructureError: the process that reads cannot be started.
        """
        inputs, unlisted = inputs_of(path, name or str(path))
        self.facts.unread += unlisted
        place = name or str(path)
        self.facts.roots.add(f"{place.rstrip('/')}/" if path.is_dir() else place[: len(place) - len(path.name)])
        for facts in gather(inputs, self.rules, self.targets, hashes=self.hashes, statements=self.statements):
            self.facts.add(facts)

    def findings(self) -> list[Finding]:
        """Findings of all rules, the gravest first, then by file and place."""
        groups = Binaries(self.facts.elves, self.facts)
        every = [item for rule in self.rules for item in self._of(rule, groups)]
        return sorted(every, key=lambda f: (SEVERITIES.index(f.severity), f.rule, f.file, f.line, f.place))

    def _of(self, rule: Rule, groups: Binaries) -> Iterator[Finding]:
        if rule.detect in binaries.DETECTORS:
            yield from binaries.DETECTORS[rule.detect](rule, groups, self.targets)
        elif rule.detect in texts.DETECTORS:
            facts_of_rule = [fact for fact in self.facts.texts if fact.rule == rule.id]
            yield from texts.findings(rule, facts_of_rule, self.targets, self.facts.roots)
        elif rule.detect == "sql":
            facts = [fact for fact in self.facts.sqls if fact.rule == rule.id]
            yield from sql.findings(rule, facts, self.targets, self.facts, self.facts.roots)
        elif rule.detect == "component":
            yield from troubles.known_trouble(
                rule, self.components, self.facts.declared, self.targets, self.facts.roots
            )
        elif rule.detect == "go-variants":
            yield from golang.variants(rule, self.facts.gos, self.targets)
        elif rule.detect == "format":
            yield from packages.formats(rule, self.components, self.targets)
        elif rule.detect == "unparsed":
            databases = [Concern("database", name) for name in self.targets.databases]
            for place, line, text in self.facts.unparsed if databases else ():
                yield finding(rule, place, databases, text, place=f"line {line}", line=line)
        else:
            places = {"unread": self.facts.unread, "names": self.facts.names, "links": self.facts.links}[rule.detect]
            every = cpus(self.targets.cpus.values())
            for place, message in places:
                why = aside(place, self.facts.roots, sources=False) if rule.detect != "unread" else ""
                severity: Severity | None = "info" if why else None
                yield finding(rule, place, every, message + (f" ({why})" if why else ""), severity=severity)

    @property
    def components(self) -> list[Component]:
        """Every component once; what a package says in its metadata replaces what its file name says."""
        unique: dict[tuple[Any, ...], Component] = {}
        for component in self.facts.components:
            digest = component.sha256 if component.kind == "file" else ""
            key = (component.kind, component.group, component.name, component.version, component.architecture, digest)
            unique[key] = component
        stated = {
            (each.name, each.version): each.file for each in unique.values() if each.kind == "maven" and each.group
        }
        return [
            each
            for each in unique.values()
            if each.kind != "maven"
            or each.group
            or not stated.get((each.name, each.version), "").startswith(f"{each.file}!/")
        ]

    def _rows(self) -> Iterator[SqlRow]:
        def meant(word: str, family: str, database: Database) -> bool:
            return sql.meant(word, family, database, self.facts)

        return sqltable.rows(self.facts.statements, self.rules, self.targets, meant)

    def result(self, started: float) -> ScanResult:
        """``started``: by the monotonic clock."""
        findings = tuple(self.findings())
        return ScanResult(
            findings=findings,
            components=tuple(self.components),
            rules=tuple(self.rules),
            files=self.facts.files,
            bytes=self.facts.size,
            seconds=round(time.monotonic() - started, 3),
            unread=len(self.facts.unread),
            skipped=dict(sorted(self.facts.skipped.items())),
            sql=tuple(self._rows()),
            sql_left=self.facts.statements_left,
        )


def scan(
    paths: Iterable[Path],
    rules: Sequence[Rule],
    targets: Targets,
    *,
    names: Mapping[Path, str] | None = None,
    hashes: bool = False,
    statements: bool = False,
) -> ScanResult:
    """Scan files and folders for what the declared targets will not take.

    ``names``: what findings call an input by, instead of its path. ``hashes``: also SHA-256 of every package and
    binary, for a bill of materials. ``statements``: also a row for each statement of SQL.
    """
    started = time.monotonic()
    work = Scan(rules, targets, hashes=hashes, statements=statements)
    for path in paths:
        work.add(path, (names or {}).get(path, ""))
    return work.result(started)
