"""Sources, scripts, build files: what is written for one architecture, distribution or package manager."""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.model.definitions import Rule, Severity
from harness.model.finding import Concern, Finding, Targets
from harness.scan import branches, chains, levels, manifests, printed
from harness.scan.asides import about_sources, aside, tests_within
from harness.scan.groups import cpus, finding
from harness.scan.languages import COMMENT, LONG_LINE, languages_of, remarks
from harness.scan.pairs import Pair, pair_of, places
from harness.scan.passages import Passage
from harness.scan.variants import architectures_named

__all__ = ["DETECTORS", "MAX_PER_FILE", "Reader", "TextFact", "findings", "languages_of"]

#: Detectors whose rules look for regular expressions; each gives another set of targets to what matches.
PATTERNS = ("text", "text-architecture", "text-system", "text-page", "text-level")
#: Detectors with code of their own -> what of a text they are about.
PASSAGES = {
    "chain": chains.passages,
    "printed": printed.passages,
    "stated": manifests.passages,
}
DETECTORS = (*PATTERNS, *PASSAGES)
#: Detectors whose findings leave out the architectures that the text names.
_NAMING = ("text-architecture", "chain", "stated")
#: In conditions and lists the bare word stands for the one that there is.
_LOONGARCH = re.compile(r"(?<![a-z0-9])loongarch(?![a-z0-9])", re.IGNORECASE)
#: What follows a comment's sign on a line of languages that have ``#``.
_REMARK = re.compile(r"(?:^|\s)#\s")
#: A build file with such a branch refuses architectures that it does not name.
_REFUSES = re.compile(
    r"(?i)(?:FATAL_ERROR|AC_MSG_ERROR|\$\(error\b)(?=[^\n]{0,120}(?:unsupported|unknown|not support|unrecogni|only))"
    r"[^\n]{0,120}(?:(?<!osx_)arch|processor|cpu\b|platform|machine)"
)
#: What the lists of jobs of GitHub, Gitea and Forgejo have.
_WORKFLOW = re.compile(r"^[ \t]+runs-on:[ \t]*\S", re.MULTILINE)
_COMPILE_ERROR = re.compile(r"\bcompile_error!")
NEAR = 500  #: characters before and behind a place that ``unless_near`` of a rule is looked for in
MAX_PER_FILE = 20  #: the number of places of a rule in a file that become findings


@dataclass(frozen=True, kw_only=True)
class TextFact:
    """A place in a text that a rule is about."""

    rule: str
    place: str
    line: int
    excerpt: str
    guarded: bool = False
    mild: bool = False  #: worth a note only
    why: str = ""  #: why it is worth a note only, where the text says it
    relief: bool = False  #: no trouble, but what eases that of the rule elsewhere
    named: frozenset[str] = frozenset()  #: architectures that the text names, or that are no trouble
    about: frozenset[str] = frozenset()  #: the only architectures that are concerned; none: all
    systems: frozenset[str] = frozenset()  #: systems that the file names, by ID of os-release in lower case
    groups: dict[str, str] = field(default_factory=dict)  #: named groups of what matched


class _Text:
    """A text, and what several rules ask of it."""

    def __init__(self, place: str, text: str, languages: tuple[str, ...]) -> None:
        self.place, self.text, self.languages = place, text, languages
        self._starts: list[int] | None = None
        self._around: list[bool] | None = None
        self._named: frozenset[str] | None = None

    def line(self, at: int) -> tuple[int, str]:
        """Number and text of the line that a place is in."""
        if self._starts is None:
            self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        number = bisect.bisect_right(self._starts, at)
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return number, self.text[self._starts[number - 1] : end]

    def column(self, at: int) -> int:
        """Characters of a line before a place."""
        return at - (self.text.rfind("\n", 0, at) + 1)

    def guarded(self, line: int) -> bool:
        """Whether a condition about an architecture is around a line."""
        if self._around is None:
            self._around = branches.around(self.text, self.languages)
        return bool(self._around) and self._around[line - 1]

    def chosen(self, line: int) -> bool:
        """Whether a line lies in a branch for an architecture that its condition names."""
        return bool(self._chosen) and self._chosen[line - 1]

    @functools.cached_property
    def _chosen(self) -> list[bool]:
        return branches.chosen(self.text, self.languages)

    def remarked(self, at: int) -> bool:
        """Whether a place lies in a block comment, a docstring, or a text for people."""
        number = bisect.bisect_right(self._remarks, (at, len(self.text))) - 1
        return number >= 0 and at < self._remarks[number][1]

    @functools.cached_property
    def _remarks(self) -> list[tuple[int, int]]:
        return remarks(self.place, self.text, self.languages)

    @functools.cached_property
    def _constructs(self) -> list[int]:
        return branches.constructs(self.text, self.languages)

    def construct(self, line: int) -> int:
        """Which case or chain of conditions a line with a condition belongs to; 0 for none."""
        return self._constructs[line - 1] if self._constructs else 0

    def why_mild(self, line: int) -> str:
        """Why what stands in a line is worth a note only; empty where it is not."""
        if self._workflow:
            return "a workflow of continuous integration"
        return (
            "in a part of the source that is tests" if any(first <= line <= last for first, last in self._tests) else ""
        )

    @functools.cached_property
    def _workflow(self) -> bool:
        return "yaml" in self.languages and _WORKFLOW.search(self.text) is not None

    @functools.cached_property
    def _tests(self) -> list[tuple[int, int]]:
        return tests_within(self.text, self.languages)

    @functools.cached_property
    def refuses(self) -> bool:
        """Whether it is a build file that ends with an error on architectures."""
        return _REFUSES.search(self.text) is not None

    @property
    def named(self) -> frozenset[str]:
        """Architectures that the text names."""
        if self._named is None:
            self._named = frozenset(architectures_named(self.text))
            if _LOONGARCH.search(self.text):
                self._named |= {"loongarch64"}
        return self._named


@dataclass(frozen=True)
class _Looked:
    """A rule as it is looked for."""

    rule: Rule
    languages: frozenset[str]
    pattern: re.Pattern[str]
    unless: re.Pattern[str]
    unless_file: re.Pattern[str]
    unless_place: re.Pattern[str]
    unless_near: re.Pattern[str] | None
    eases: re.Pattern[str]
    eased_in: frozenset[str]
    needs: tuple[str, ...]  #: words in lower case; a text with none of them is not searched, which takes far longer
    most: int
    pairs: tuple[Pair, ...]

    def branches(self, whole: _Text) -> bool:
        """Whether it matters that a place lies in a branch for an architecture: always where it is compiled."""
        if "c" in whole.languages or self.rule.parameters.get("branches"):
            return True
        # Build files choose what is faster, and go on without; those that refuse say so.
        built = bool({"make", "packaging"} & set(whole.languages))
        if "rust" in whole.languages:
            return not _COMPILE_ERROR.search(whole.text)
        return self.rule.detect == "text-architecture" and built and not whole.refuses


def _looked(rule: Rule) -> _Looked:
    parameters = rule.parameters

    def compiled(key: str) -> re.Pattern[str]:
        return re.compile(parameters.get(key, r"(?!)"), re.MULTILINE)

    return _Looked(
        rule,
        frozenset(parameters["languages"]),
        re.compile("|".join(f"(?:{expression})" for expression in parameters.get("patterns", ())), re.MULTILINE),
        compiled("unless"),
        compiled("unless_file"),
        compiled("unless_place"),
        compiled("unless_near") if "unless_near" in parameters else None,
        compiled("eased_by"),
        frozenset(parameters.get("eased_in", ())),
        tuple(parameters.get("needs", ("",))),
        parameters.get("most", MAX_PER_FILE),
        tuple(map(pair_of, parameters.get("pairs", ()))),
    )


class Reader:
    """Looks for what the text rules name. ``systems``: names that a file may name systems by."""

    def __init__(self, rules: Iterable[Rule], systems: Iterable[str] = ()) -> None:
        every = list(rules)
        self.looked = [_looked(rule) for rule in every if rule.detect in PATTERNS]
        self.others = [(rule, PASSAGES[rule.detect]) for rule in every if rule.detect in PASSAGES]
        self.systems = re.compile("|".join(sorted(map(re.escape, systems), key=len, reverse=True)) or r"(?!)", re.I)

    def read(self, place: str, text: str, languages: tuple[str, ...]) -> Iterator[TextFact]:
        """Each place of a text that a rule for one of its languages matches, up to a limit for each rule."""
        whole, lower = _Text(place, text, languages), text.lower()
        for looked in self.looked:
            applicable = [language for language in languages if language in looked.languages]
            if looked.eased_in & set(languages) and (ease := looked.eases.search(text)) is not None:
                line = whole.line(ease.start())[0]
                yield TextFact(rule=looked.rule.id, place=place, line=line, excerpt=ease[0].strip()[:80], relief=True)
            if applicable and any(word in lower for word in looked.needs):
                yield from self._matches(looked, whole, COMMENT.get(applicable[0]))
        for rule, passages in self.others:
            if set(languages) & set(rule.parameters["languages"]):
                yield from (
                    _fact(rule, place, passage)
                    for _, passage in zip(range(MAX_PER_FILE), passages(rule, place, text, languages), strict=False)
                )

    def _matches(self, looked: _Looked, whole: _Text, comment: re.Pattern[str] | None) -> Iterator[TextFact]:
        rule, place = looked.rule, whole.place
        hashed = comment is COMMENT["shell"] or comment is COMMENT["make"]
        lines: set[int] = set()
        constructs: set[int] = set()  # cases and chains of conditions of which an arm is a finding already
        for begin, groups in _places(looked, whole.text):
            number, line = whole.line(begin)
            if number in lines or len(line) > LONG_LINE:
                continue
            if hashed and _REMARK.search(whole.text, begin - whole.column(begin), begin):
                continue
            if (comment is not None and comment.match(line)) or looked.unless.search(line) or whole.remarked(begin):
                continue
            near = looked.unless_near
            if near is not None and near.search(whole.text, max(0, begin - NEAR), begin + NEAR):
                continue
            if not lines and (looked.unless_place.search(place) or looked.unless_file.search(whole.text)):
                return
            lines.add(number)
            yield TextFact(
                rule=rule.id,
                place=place,
                line=number,
                excerpt=line.strip()[:160],
                guarded=_guarded(looked, whole, number) or whole.construct(number) in constructs,
                why=whole.why_mild(number),
                named=whole.named,
                systems=self._systems(whole.text) if rule.detect == "text-system" else frozenset(),
                groups=groups,
            )
            if rule.detect == "text-architecture" and whole.construct(number):
                constructs.add(whole.construct(number))
            if len(lines) >= looked.most:
                return

    def _systems(self, text: str) -> frozenset[str]:
        return frozenset(word.lower() for word in self.systems.findall(text))


def _guarded(looked: _Looked, whole: _Text, line: int) -> bool:
    """Whether a condition about the architecture is around a line, and tells enough."""
    if looked.branches(whole) and whole.guarded(line):
        return True
    return looked.rule.detect == "text-architecture" and whole.chosen(line)


def _places(looked: _Looked, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Where a text matches, and the named groups of what matched."""
    for match in looked.pattern.finditer(text):
        begin = match.start() + len(match[0]) - len(match[0].lstrip())
        yield begin, {name: value for name, value in match.groupdict().items() if value}
    for pair in looked.pairs:
        yield from ((begin, {}) for begin in places(pair, text))


def _fact(rule: Rule, place: str, passage: Passage) -> TextFact:
    return TextFact(
        rule=rule.id,
        place=place,
        line=passage.line,
        excerpt=passage.excerpt[:160],
        named=passage.named,
        about=passage.about,
        mild=passage.mild,
    )


def concerned(rule: Rule, targets: Targets) -> list[Concern]:
    """CPU classes, or systems, that a rule says it is about."""
    about = rule.concerns
    if about.package_families:
        return [
            Concern("os", system.os) for system in targets.systems.values() if system.family in about.package_families
        ]
    return cpus(
        cpu
        for cpu in targets.cpus.values()
        if (not about.architectures or cpu.architecture in about.architectures)
        and cpu.architecture not in about.other_than
    )


def _concerned(rule: Rule, fact: TextFact, general: list[Concern], targets: Targets) -> list[Concern]:
    """Targets that a place is trouble for."""
    if rule.detect == "text-system":
        named = {
            name for name, system in targets.systems.items() if system.identity.get("ID", "").lower() in fact.systems
        }
        return [concern for concern in general if concern.name not in named]
    if rule.detect == "text-page":
        return levels.larger_pages(fact.groups, targets)
    if rule.detect == "text-level":
        return cpus(levels.lacking(rule, fact.groups, targets))
    fitting = {
        name
        for name, cpu in targets.cpus.items()
        if (rule.detect in _NAMING and cpu.architecture in fact.named)
        or (fact.about and cpu.architecture not in fact.about)
    }
    return [concern for concern in general if concern.name not in fitting]


def findings(rule: Rule, facts: Iterable[TextFact], targets: Targets, roots: Collection[str] = ()) -> Iterator[Finding]:
    """Findings of a rule about texts. The author of a file that names an architecture has thought of that one.

    ``roots``: what the places of inputs begin with, which says nothing of what lies there.
    """
    every = list(facts)
    general = concerned(rule, targets)
    sources = about_sources(rule.parameters["languages"])
    relief = next((fact for fact in every if fact.relief), None)
    for fact in every:
        concerns = [] if fact.relief else _concerned(rule, fact, general, targets)
        if not concerns:
            continue
        message = fact.excerpt + (" (inside a condition about the architecture)" if fact.guarded else "")
        if relief is not None:
            message += f" ({relief.place} line {relief.line} sets {relief.excerpt})"
        if why := fact.why or aside(fact.place, roots, sources=sources):
            message += f" ({why})"
        mild = fact.guarded or fact.mild or relief is not None or bool(why)
        severity: Severity | None = "info" if mild else None
        yield finding(rule, fact.place, concerns, message, place=f"line {fact.line}", line=fact.line, severity=severity)


def system_names(targets: Targets) -> Mapping[str, str]:
    """Name of each declared system -> its ID in os-release."""
    return {name: system.identity["ID"] for name, system in targets.systems.items() if "ID" in system.identity}
