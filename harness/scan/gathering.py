"""Everything of one input, read into facts. What is in it is anyone's: whatever it does is a fact of that input."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from harness.model.definitions import Rule
from harness.model.finding import Component, Targets
from harness.model.sqlrow import SqlStatement
from harness.scan import golang, limits, opaque, packages, sql, texts, troubles
from harness.scan.archives import opener
from harness.scan.declared import Declared, declared
from harness.scan.facts import ElfFact
from harness.scan.facts import Reader as ElfReader
from harness.scan.images import Manifest, image_architecture, manifests_of
from harness.scan.limits import OutOfTime, Unreadable
from harness.scan.listing import Input
from harness.scan.walking import BROKEN, Entry, Walk, trouble_of

#: Facts that are lists: those of several inputs stand one behind the other.
_LISTS = (
    "elves texts sqls components declared gos unread names links labels manifests platforms claims unparsed "
    "statements".split()
)


@dataclass(kw_only=True)
class Facts:
    """What is kept of an input, or of all inputs of a scan. Places are as in findings."""

    files: int = 0
    size: int = 0  #: bytes of all files and members that were looked at
    elves: list[ElfFact] = field(default_factory=list)
    texts: list[texts.TextFact] = field(default_factory=list)
    sqls: list[sql.SqlFact] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)  #: those that some rule asks for
    gos: list[golang.GoFact] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)  #: place, why
    names: list[tuple[str, str]] = field(default_factory=list)  #: place, a name that leads out
    links: list[tuple[str, str]] = field(default_factory=list)  #: place, a link that leads out
    #: Of packages that name their architecture: unit, place, architecture.
    labels: list[tuple[str, str, str]] = field(default_factory=list)
    images: dict[str, set[str]] = field(default_factory=dict)  #: place of an image -> architectures that it names
    configurations: dict[str, str] = field(default_factory=dict)  #: place of an image's configuration -> architecture
    manifests: list[Manifest] = field(default_factory=list)
    platforms: list[tuple[str, str]] = field(default_factory=list)  #: place of a manifest, architecture by an index
    #: Of metadata that name architectures: what the places of their files begin with, whose it is, architectures.
    claims: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)  #: what the places of inputs begin with: it is no part of the product
    families: set[str] = field(default_factory=set)  #: of SQL, that files are named for
    words: set[str] = field(default_factory=set)  #: names of databases that files are named for
    unparsed: list[tuple[str, int, str]] = field(default_factory=list)  #: of SQL: place, line, beginning
    statements: list[SqlStatement] = field(default_factory=list)  #: for the table, where it is asked for
    statements_left: int = 0  #: statements that are in no row, because there are too many
    skipped: dict[str, int] = field(default_factory=dict)  #: files in which nothing is looked for, by what they are

    def add(self, other: Facts) -> None:
        """Take the facts of another input too."""
        self.files += other.files
        self.size += other.size
        self.statements_left += other.statements_left
        for name in _LISTS:
            getattr(self, name).extend(getattr(other, name))
        for place, architectures in other.images.items():
            self.images.setdefault(place, set()).update(architectures)
        self.configurations.update(other.configurations)
        self.roots |= other.roots
        self.families |= other.families
        self.words |= other.words
        for reason, count in other.skipped.items():
            self.skipped[reason] = self.skipped.get(reason, 0) + count


class Gatherer:
    """Reads inputs for a set of rules and targets. ``hashes``: also SHA-256 of packages and binaries; ``statements``:
    also each statement of SQL."""

    def __init__(
        self, rules: Sequence[Rule], targets: Targets, *, hashes: bool = False, statements: bool = False
    ) -> None:
        self._statements = statements
        names = texts.system_names(targets).values()
        self._elf, self._text = ElfReader(rules, targets), texts.Reader(rules, names)
        self._sql = sql.Reader(rules, targets.databases.values(), targets.dialect)
        self._wanted = troubles.wanted(rules)
        self._go = any(rule.detect == "go-variants" for rule in rules)
        self._hashes = hashes

    def gather(self, given: Input) -> Facts:
        """The facts of an input. Its process has ``limits``; what could not be read is among the facts."""
        facts, walk = Facts(), Walk(opener)
        self._sql.families, self._sql.words, self._sql.trouble = facts.families, facts.words, []
        self._sql.unparsed, self._sql.left = [], 0
        self._sql.kept = facts.statements if self._statements else None
        clock = _Clock(limits.seconds_of_input(given.size))
        try:
            with clock:
                for entry in walk.top(given.path, given.place, given.unit):
                    facts.files += 1
                    clock.file(entry.size)
                    self._guarded(entry, facts, walk)
                    clock.rest()
                if self._hashes:
                    walk.components = [_hashed(component, given) for component in walk.components]
        except OutOfTime as error:
            walk.unread.append((given.place, str(error)))
        facts.components, facts.labels, facts.images, facts.size = walk.components, walk.labels, walk.images, walk.size
        facts.skipped = dict(walk.skipped)
        facts.unparsed = self._sql.unparsed[: limits.NOTES]
        facts.statements_left = self._sql.left
        facts.unread = _some(walk.unread + self._sql.trouble, given.place, "could not be read")
        facts.names, facts.links = (
            _some(walk.names, given.place, "lead out"),
            _some(walk.links, given.place, "lead out"),
        )
        return facts

    def _guarded(self, entry: Entry, facts: Facts, walk: Walk) -> None:
        try:
            self._read(entry, facts, walk)
        except OutOfTime:
            raise
        except Unreadable as error:
            walk.unread.append((entry.place, str(error)))
        except BROKEN as error:
            walk.unread.append((entry.place, trouble_of(error)))

    def _read(self, entry: Entry, facts: Facts, walk: Walk) -> None:
        _jar(entry, walk)
        if entry.data[:4] == b"\x7fELF" or entry.data[:8] == b"!<arch>\n":
            fact = self._elf.read(entry)
            facts.elves.append(fact)
            if fact.trouble:
                walk.unread.append((entry.place, fact.trouble))
            if self._hashes:
                digest = hashlib.sha256(entry.data).hexdigest()
                walk.components.append(
                    Component(kind="file", name=entry.name, version="", file=entry.place, sha256=digest)
                )
            return
        text = opaque.decoded(entry.data)
        if (architecture := image_architecture(text)) is not None:
            walk.images.setdefault(entry.place.rpartition("!/")[0], set()).add(architecture)
            facts.configurations[entry.place] = architecture
        manifests, platforms = manifests_of(entry.place, text)
        facts.manifests += manifests
        facts.platforms += platforms
        if (claim := packages.claim_of(entry.place, text)) is not None:
            facts.claims.append(claim)
        component = packages.component_of(entry.place, text)
        if component is not None:
            walk.components.append(component)
        facts.declared += declared(entry.place, text, self._wanted)
        if self._go and (go := golang.fact(entry.place, text)) is not None:
            facts.gos.append(go)
        languages = texts.languages_of(entry.place, text)
        if languages:
            facts.texts += self._text.read(entry.place, text, languages)
            facts.sqls += self._sql.read(entry.place, text, languages)


#: Looks at the clock after which a reader that goes on is ended once more.
AGAIN = 5


class _Clock:
    """Ends what takes too long: the file that is looked at, or the whole input. By the CPU time of this process."""

    def __init__(self, seconds: float) -> None:
        self._end, self._file_end, self._allowed = time.process_time() + seconds, float("inf"), 0.0

    def file(self, size: int) -> None:
        """A file of so many bytes is looked at from now on."""
        self._allowed = limits.seconds_of_file(size)
        self._file_end = time.process_time() + self._allowed

    def rest(self) -> None:
        """No file is looked at."""
        self._file_end = float("inf")

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, limits.LOOK, limits.LOOK)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._before)

    def _look(self, *_: Any) -> None:
        now = time.process_time()
        # Once more a little later: what is raised within a finalizer is lost.
        if now > self._end:
            self._end = now + AGAIN * limits.LOOK
            raise OutOfTime("reading it takes far more time than its size allows; the rest was not read")
        if now > self._file_end:
            self._file_end = now + AGAIN * limits.LOOK
            raise Unreadable(f"reading it takes more than {self._allowed:.0f} s; the rest of it was not read")


def _jar(entry: Entry, walk: Walk) -> None:
    """A jar is a component by its name, until a pom.properties inside says more."""
    outer = entry.place.rpartition("!/")[0]
    if outer.endswith(".jar") and outer not in walk.jars:
        walk.jars.add(outer)
        component = packages.jar_of(outer)
        if component is not None:
            walk.components.append(component)


def _some(every: list[tuple[str, str]], place: str, what: str) -> list[tuple[str, str]]:
    """Not more places than people can look at."""
    left = len(every) - limits.NOTES
    return every if left <= 0 else [*every[: limits.NOTES], (place, f"{left} more places in it {what}")]


def _hashed(component: Component, given: Input) -> Component:
    """A package that is a file on disk, with its SHA-256."""
    if component.file != given.place or component.sha256:
        return component
    with suppress(OSError), open(given.path, "rb") as content:  # noqa: PTH123  # a path in bytes
        return replace(component, sha256=hashlib.file_digest(content, "sha256").hexdigest())
    return component
