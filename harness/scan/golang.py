"""Go packages that lack something on an architecture: a whole package, a function, the assembly of a function.

Which files are built for an architecture follows from their names and their constraints (go/build, Constraints). Files
of a folder are a package; what a file uses that is declared only in files for other architectures does not compile.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from boolean import BooleanAlgebra, ParseError

from harness.model.definitions import Rule
from harness.model.finding import Finding, Targets
from harness.scan.groups import cpus, finding
from harness.scan.images import GOARCH

_SYSTEMS = frozenset(
    (
        "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 "
        "windows zos"
    ).split()
)
_ARCHITECTURES = frozenset(
    [*GOARCH, "mips", "mipsle", "mips64", "ppc64", "sparc64", "s390", "wasm", "arm64be", "loong64"]
)
#: As the catalogue names architectures -> GOARCH. Upstream Go has no sw_64.
OF_TARGETS = {name: word for word, name in GOARCH.items() if name not in ("i386", "arm", "ppc64", "s390")}
_BUILD = re.compile(r"^//go:build[ \t]+(.+)$", re.MULTILINE)
_PLUS = re.compile(r"^//[ \t]*\+build[ \t]+(.+)$", re.MULTILINE)
_PACKAGE = re.compile(r"^package[ \t]+(\w+)", re.MULTILINE)
_FUNC = re.compile(r"^func[ \t]+(?P<name>\w+)(?:\[[^\]\n]*\])?\([^\n]*$", re.MULTILINE)
_DECLARED = re.compile(r"^(?:var|const|type)[ \t]+(\w+)", re.MULTILINE)
_LINKED = re.compile(r"^//go:linkname[ \t]+(\w+)", re.MULTILINE)
_TEXT = re.compile(r"^[ \t]*TEXT[ \t]+(?:[\w./\u2215]*)\u00b7(\w+)(?:<ABI\w+>)?\(SB\)", re.MULTILINE)
_ALGEBRA = BooleanAlgebra()
_CALLED = re.compile(r"(?<![.\w])([A-Za-z_]\w*)\(")
#: What holds no calls: comments, texts, the heads of methods and functions.
_SILENT = re.compile(r"//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|^func[ \t]*(?:\([^)\n]*\))?[ \t]*\w+", re.MULTILINE)
MOST = 4000  #: characters of a constraint


@dataclass(frozen=True, kw_only=True)
class GoFact:
    """A file of Go or of its assembler: architectures that it is built for, and what it declares, lacks, uses."""

    place: str
    package: str  #: empty for assembly
    built: frozenset[str]
    declares: frozenset[str] = frozenset()
    bodyless: dict[str, int]  #: functions without a body -> line
    assembly: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        """Where its package lies."""
        return posixpath.dirname(self.place)


def fact(place: str, text: str) -> GoFact | None:
    """What a file of Go tells; None for one that is none, is a test, or is for another system."""
    name = posixpath.basename(place)
    stem, ending = posixpath.splitext(name)
    if ending not in (".go", ".s") or stem.endswith("_test") or stem.startswith(("_", ".")) or "/testdata/" in place:
        return None
    built = _built(stem, text)
    if not built:
        return None
    if ending == ".s":
        symbols = frozenset(_TEXT.findall(text))
        return GoFact(place=place, package="", built=built, bodyless={}, assembly=symbols) if symbols else None
    package = _PACKAGE.search(text)
    if package is None:
        return None
    functions = list(_FUNC.finditer(text))
    linked = set(_LINKED.findall(text))
    bodyless = {
        match["name"]: text.count("\n", 0, match.start()) + 1
        for match in functions
        if not match[0].rstrip().endswith(("{", ",", "(")) and "{" not in match[0] and match["name"] not in linked
    }
    declares = {match["name"] for match in functions} | set(_DECLARED.findall(text))
    return GoFact(
        place=place,
        package=package[1],
        built=built,
        declares=frozenset(declares - {"init", "main", "_"}),
        bodyless=bodyless,
        uses=frozenset(_CALLED.findall(_SILENT.sub("", text))),
    )


def _built(stem: str, text: str) -> frozenset[str]:
    """Architectures of targets that a file is built for on Linux."""
    words = stem.split("_")[1:]
    if words[-1:] and words[-1] in _ARCHITECTURES:
        only = {words[-1]}
        words = words[:-1]
    else:
        only = set(OF_TARGETS.values())
    if words[-1:] and words[-1] in _SYSTEMS and words[-1] != "linux":
        return frozenset()
    head = text[: (match.start() if (match := _PACKAGE.search(text)) else 4096)]
    line = _BUILD.search(head)
    plus = [] if line else _PLUS.findall(head)
    return frozenset(
        name
        for name, word in OF_TARGETS.items()
        if word in only
        and (line is None or _holds(line[1][:MOST], word))
        and all(any(all(_tag(tag, word) for tag in option.split(",")) for option in each.split()) for each in plus)
    )


def _tag(tag: str, architecture: str) -> bool:
    if tag.startswith("!"):
        return not _tag(tag[1:], architecture)
    return tag in (architecture, "linux", "unix", "gc", "cgo") or tag.startswith("go1.")


def _holds(expression: str, architecture: str) -> bool:
    """Whether a constraint holds; one that cannot be read does."""
    try:
        parsed = _ALGEBRA.parse(expression.replace("&&", "&").replace("||", "|"))
        return bool(parsed(**{symbol.obj: _tag(symbol.obj, architecture) for symbol in parsed.symbols}))
    except (ParseError, RecursionError, TypeError, AttributeError):  # the last two: of what holds no expression
        return True


def variants(rule: Rule, facts: Iterable[GoFact], targets: Targets) -> Iterator[Finding]:
    """What packages lack on the architectures of targets."""
    folders: dict[str, list[GoFact]] = defaultdict(list)
    for each in facts:
        folders[each.folder].append(each)
    wanted = [name for name in dict.fromkeys(cpu.architecture for cpu in targets.cpus.values()) if name in OF_TARGETS]
    for files in folders.values():
        lacks: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for architecture in wanted:
            for place, line, message in _lacks(files, architecture):
                lacks[place, line, message].append(architecture)
        for (place, line, message), architectures in lacks.items():
            concerned = cpus(cpu for cpu in targets.cpus.values() if cpu.architecture in architectures)
            yield finding(rule, place, concerned, message, place=f"line {line}", line=line)


def _lacks(files: list[GoFact], architecture: str) -> Iterator[tuple[str, int, str]]:
    built = [each for each in files if architecture in each.built]
    sources = [each for each in files if each.package]
    if sources and not any(each.package for each in built):
        yield sources[0].place, 1, f"package {sources[0].package} has no file for it"
        return
    assembly = set().union(*(each.assembly for each in built))
    declared = set().union(*(each.declares for each in built))
    elsewhere = set().union(*(each.declares for each in sources)) - declared
    for each in built:
        for name, line in each.bodyless.items():
            if name not in assembly and any(name in other.assembly for other in files):
                yield each.place, line, f"func {name} has no body, and no assembly for it"
        for name in sorted(each.uses & elsewhere)[:1]:
            yield each.place, 1, f"{name} is declared for other architectures only"
