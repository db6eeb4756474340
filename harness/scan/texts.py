"""Sources, scripts, build files: what is written for one architecture, distribution or package manager."""

from __future__ import annotations

import bisect
import fnmatch
import functools
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.model.definitions import Rule, Severity
from harness.model.finding import Concern, Finding, Targets
from harness.scan.groups import cpus, finding
from harness.scan.variants import architectures_named

#: Language -> names of its files.
LANGUAGES = {
    "c": "*.c *.cc *.cpp *.cxx *.h *.hh *.hpp *.hxx *.inc *.inl *.S *.s *.asm *.m *.cu",
    "shell": "*.sh *.bash *.ksh *.csh *.run *.spec *.install preinst postinst prerm postrm rc.local configure *.init "
    "*.service",
    "docker": "Dockerfile Dockerfile.* *.dockerfile Containerfile docker-compose*.yml docker-compose*.yaml compose.yml "
    "compose.yaml",
    "make": "Makefile makefile GNUmakefile Makefile.* *.mk *.make CMakeLists.txt *.cmake configure configure.ac *.pro "
    "meson.build BUILD BUILD.bazel *.bzl *.gn *.gyp *.gypi *.gradle pom.xml SConstruct wscript setup.py",
    "python": "*.py",
    "java": "*.java *.kt *.scala *.groovy *.properties",
    "javascript": "*.js *.mjs *.cjs *.ts *.jsx *.tsx",
    "go": "*.go",
    "rust": "*.rs",
    "perl": "*.pl *.pm",
    "sql": "*.sql *.ddl *.dml",
    "xml": "*.xml",
    "php": "*.php",
    "csharp": "*.cs",
}
_SHEBANGS = {
    "sh": "shell",
    "bash": "shell",
    "dash": "shell",
    "ksh": "shell",
    "python": "python",
    "python3": "python",
    "perl": "perl",
    "node": "javascript",
}
#: Conditions that keep code away from other architectures.
_GUARD = re.compile(
    r"x86|i[3-6]86|amd64|_M_X64|_M_IX86|SSE|AVX|MMX|aarch64|arm|neon|loongarch|mips|riscv|ppc|__has_include|intel|_MSC_VER|_WIN32|__APPLE__",
    re.IGNORECASE,
)
_COMMENT = {
    "c": re.compile(r"^\s*(?://|\*|/\*)"),
    "shell": re.compile(r"^\s*#"),
    "docker": re.compile(r"^\s*#"),
    "make": re.compile(r"^\s*#"),
    "python": re.compile(r"^\s*#"),
    "java": re.compile(r"^\s*(?://|\*|/\*|#)"),
    "javascript": re.compile(r"^\s*(?://|\*|/\*)"),
    "go": re.compile(r"^\s*//"),
    "rust": re.compile(r"^\s*//"),
    "perl": re.compile(r"^\s*#"),
}
MAX_PER_FILE = 20  #: the number of places of a rule in a file that become findings
LONG_LINE = 2000  #: no person wrote a longer one


@dataclass(frozen=True, kw_only=True)
class TextFact:
    """A place in a text that a rule is about."""

    rule: str
    place: str
    line: int
    excerpt: str
    guarded: bool = False
    named: frozenset[str] = frozenset()  #: architectures that the file names


@functools.lru_cache(maxsize=65536)
def _languages(name: str) -> tuple[str, ...]:
    return tuple(
        language for language, globs in LANGUAGES.items() if any(fnmatch.fnmatchcase(name, g) for g in globs.split())
    )


def languages_of(place: str, text: str) -> tuple[str, ...]:
    """Languages of a file, by its name, else by its first line."""
    languages = _languages(posixpath.basename(place))
    if not languages and text.startswith("#!"):
        words = text[2:LONG_LINE].partition("\n")[0].replace("/env ", "/").split()
        program = posixpath.basename(words[0]) if words else ""
        languages = tuple(filter(None, (_SHEBANGS.get(program),)))
    return languages


class Reader:
    """Looks for what the text rules name."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [
            (
                rule,
                frozenset(rule.parameters["languages"]),
                re.compile("|".join(f"(?:{expression})" for expression in rule.parameters["patterns"]), re.MULTILINE),
                re.compile(rule.parameters.get("unless", r"(?!)")),
            )
            for rule in rules
            if rule.detect in ("text", "text-architecture")
        ]

    def read(self, place: str, text: str, languages: tuple[str, ...]) -> Iterator[TextFact]:
        """Each place of a text that a rule for one of its languages matches, up to a limit for each rule."""
        guards: list[bool] | None = None
        named: frozenset[str] | None = None
        starts: list[int] | None = None
        for rule, wanted, pattern, unless in self.rules:
            applicable = [language for language in languages if language in wanted]
            if not applicable:
                continue
            count = 0
            for match in pattern.finditer(text):
                if starts is None:
                    starts = _starts(text)
                line = _line(starts, match.start())
                end = starts[line] - 1 if line < len(starts) else len(text)
                if end - starts[line - 1] > LONG_LINE:
                    continue
                whole = text[starts[line - 1] : end]
                comment = _COMMENT.get(applicable[0])
                if (comment is not None and comment.match(whole)) or unless.search(whole):
                    continue
                if guards is None:
                    guards = _guards(text) if "c" in languages else []
                if named is None:
                    named = frozenset(architectures_named(text))
                yield TextFact(
                    rule=rule.id,
                    place=place,
                    line=line,
                    excerpt=whole.strip()[:160],
                    guarded=bool(guards) and guards[line - 1],
                    named=named,
                )
                count += 1
                if count >= MAX_PER_FILE:
                    break


def _starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _line(starts: list[int], at: int) -> int:
    return bisect.bisect_right(starts, at)


def _guards(text: str) -> list[bool]:
    """For each line whether a preprocessor condition about an architecture is around it."""
    stack: list[bool] = []
    around = 0  # conditions about an architecture in the stack
    lines = []
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith("#"):
            word = bare[1:].lstrip()
            if word.startswith("if"):
                stack.append(bool(_GUARD.search(word)))
                around += stack[-1]
            elif word.startswith(("elif", "else")) and stack:
                if not stack[-1] and _GUARD.search(word):
                    stack[-1] = True
                    around += 1
            elif word.startswith("endif") and stack:
                around -= stack.pop()
        lines.append(around > 0)
    return lines


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


def findings(rule: Rule, facts: Iterable[TextFact], targets: Targets) -> Iterator[Finding]:
    """Findings of a rule about texts. The author of a file that names an architecture has thought of that one."""
    general = concerned(rule, targets)
    for fact in facts:
        concerns = general
        if rule.detect == "text-architecture":
            named = {Concern("cpu", name) for name, cpu in targets.cpus.items() if cpu.architecture in fact.named}
            concerns = [concern for concern in general if concern not in named]
        if not concerns:
            continue
        severity: Severity | None = "info" if fact.guarded else None
        message = fact.excerpt + (" (inside a condition about the architecture)" if fact.guarded else "")
        yield finding(rule, fact.place, concerns, message, place=f"line {fact.line}", line=fact.line, severity=severity)
