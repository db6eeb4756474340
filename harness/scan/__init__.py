"""Static porting scan: finds what in a product's files will break, and on which declared target. It runs nothing.

Usage::

    result = scan([Path("dist")], rules, targets)
    [finding.message for finding in result.findings if finding.severity == "blocker"]

The scan reads each file once, into facts. Facts do not depend on the targets, except that only those instructions are
looked for that some target lacks. Rules then hold the facts against the targets. A rule is data
(``harness.model.definitions.Rule``) and the detector that it names.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.model.definitions import Rule
from harness.model.finding import Component, Finding, ScanResult, Targets
from harness.scan import binaries, packages, sql, texts
from harness.scan.archives import opener
from harness.scan.facts import ElfFact
from harness.scan.facts import Reader as ElfReader
from harness.scan.groups import Binaries, cpus, finding
from harness.scan.images import image_architecture
from harness.scan.limits import Unreadable
from harness.scan.walking import BROKEN, Entry, Walk

#: Detectors beside those of ``binaries``; ``Scan`` gives each the facts that it needs.
OTHERS = ("text", "text-architecture", "sql", "component", "format", "unread", "names", "links")
DETECTORS = (*binaries.DETECTORS, *OTHERS)
SEVERITIES = ("blocker", "warning", "info")


def _digest(file: str) -> str:
    """SHA-256 of a package that is a file on disk; empty for a package inside another file."""
    path = Path(file)
    if not path.is_file():
        return ""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class Scan:
    """Facts of any number of inputs, and the findings that rules make of them."""

    def __init__(self, rules: Sequence[Rule], targets: Targets, *, hashes: bool = False) -> None:
        self.rules, self.targets, self.hashes = rules, targets, hashes
        self.walk = Walk(opener)
        self.elves: list[ElfFact] = []
        self.texts: list[texts.TextFact] = []
        self.sqls: list[sql.SqlFact] = []
        self.files = 0
        self._elf, self._text, self._sql = ElfReader(rules, targets), texts.Reader(rules), sql.Reader(rules)
        self._jars: set[str] = set()

    def add(self, path: Path, name: str = "") -> None:
        """Read an input: a file or a folder. ``name``: what findings call it by, instead of its path."""
        for entry in self.walk.files(path, name or str(path)):
            self.files += 1
            try:
                self._read(entry)
            except Unreadable as error:
                self.walk.unread.append((entry.place, str(error)))
            except (*BROKEN, ArithmeticError, AttributeError, TypeError, RecursionError, MemoryError) as error:
                self.walk.unread.append((entry.place, f"it cannot be read: {type(error).__name__}: {error}"[:300]))

    def _read(self, entry: Entry) -> None:
        self._jar(entry)
        if entry.data[:4] == b"\x7fELF" or entry.data[:8] == b"!<arch>\n":
            self.elves.append(self._elf.read(entry))
            if self.elves[-1].trouble:
                self.walk.unread.append((entry.place, self.elves[-1].trouble))
            if self.hashes:
                self._component(
                    Component(
                        kind="file",
                        name=entry.name,
                        version="",
                        file=entry.place,
                        sha256=hashlib.sha256(entry.data).hexdigest(),
                    )
                )
            return
        text = bytes(entry.data).decode(errors="replace")
        if (architecture := image_architecture(text)) is not None:
            self.walk.images.setdefault(entry.place.rpartition("!/")[0], set()).add(architecture)
        component = packages.component_of(entry.place, text)
        if component is not None:
            self._component(component)
        languages = texts.languages_of(entry.place, text)
        if languages:
            self.texts += self._text.read(entry.place, text, languages)
            self.sqls += self._sql.read(entry.place, text, languages)

    def _component(self, component: Component) -> None:
        self.walk.components.append(component)

    def _jar(self, entry: Entry) -> None:
        """A jar is a component by its name, until a pom.properties inside says more."""
        outer = entry.place.rpartition("!/")[0]
        if outer.endswith(".jar") and outer not in self._jars:
            self._jars.add(outer)
            component = packages.jar_of(outer)
            if component is not None:
                self._component(component)

    def findings(self) -> list[Finding]:
        """Findings of all rules, the gravest first, then by file and place."""
        groups = Binaries(self.elves, self.walk)
        every = [item for rule in self.rules for item in self._of(rule, groups)]
        return sorted(every, key=lambda f: (SEVERITIES.index(f.severity), f.rule, f.file, f.line, f.place))

    def _of(self, rule: Rule, groups: Binaries) -> Iterator[Finding]:
        if rule.detect in binaries.DETECTORS:
            yield from binaries.DETECTORS[rule.detect](rule, groups, self.targets)
        elif rule.detect in ("text", "text-architecture"):
            yield from texts.findings(rule, [fact for fact in self.texts if fact.rule == rule.id], self.targets)
        elif rule.detect == "sql":
            facts = [fact for fact in self.sqls if fact.rule == rule.id]
            yield from sql.findings(rule, facts, self.targets, self._sql)
        elif rule.detect == "component":
            yield from packages.known_trouble(rule, self.components, self.targets)
        elif rule.detect == "format":
            yield from packages.formats(rule, self.components, self.targets)
        else:
            places = {"unread": self.unread, "names": self.walk.names, "links": self.walk.links}[rule.detect]
            every = cpus(self.targets.cpus.values())
            yield from (finding(rule, place, every, message) for place, message in places)

    @property
    def unread(self) -> list[tuple[str, str]]:
        """The places that could not be read, each with the reason."""
        return self.walk.unread + self._sql.trouble

    @property
    def components(self) -> list[Component]:
        """Every component once; what a package says in its metadata replaces what its file name says."""
        unique: dict[tuple[Any, ...], Component] = {}
        for component in self.walk.components:
            unique[(component.kind, component.name, component.version, component.architecture, component.sha256)] = (
                component
            )
        every = list(unique.values())
        if self.hashes:
            every = [replace(component, sha256=component.sha256 or _digest(component.file)) for component in every]
        return every

    def result(self, started: float) -> ScanResult:
        """``started``: by the monotonic clock."""
        findings = tuple(self.findings())
        return ScanResult(
            findings=findings,
            components=tuple(self.components),
            rules=tuple(self.rules),
            files=self.files,
            bytes=self.walk.size,
            seconds=round(time.monotonic() - started, 3),
            unread=len(self.unread),
        )


def scan(
    paths: Iterable[Path],
    rules: Sequence[Rule],
    targets: Targets,
    *,
    names: Mapping[Path, str] | None = None,
    hashes: bool = False,
) -> ScanResult:
    """Scan files and folders for what the declared targets will not take.

    ``names``: what findings call an input by, instead of its path. ``hashes``: also SHA-256 of every package and
    binary, for a bill of materials.
    """
    started = time.monotonic()
    work = Scan(rules, targets, hashes=hashes)
    for path in paths:
        work.add(path, (names or {}).get(path, ""))
    return work.result(started)
