"""Chains of ``#if`` over architectures that leave some out: they end in ``#error``, or silently in what fits another.

A chain counts if each of its conditions names architectures. One that asks for something else too, such as the size of
a pointer, may well be right for all, and a fast path for some beside code for all is no chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from harness.model.definitions import Rule
from harness.scan.passages import Passage
from harness.scan.variants import architectures_named

#: Further words of preprocessor conditions -> architectures.
_MACROS = (
    (re.compile(r"__x86__|_M_IX86|\bX86\b"), {"x86_64", "i386"}),
    (re.compile(r"__ARM_ARCH|__ARM_NEON|__ARM_FEATURE"), {"aarch64", "arm"}),
    (re.compile(r"__loongarch"), {"loongarch64"}),
    (re.compile(r"__mips"), {"mips64", "mips"}),
    (re.compile(r"__riscv"), {"riscv64"}),
    (re.compile(r"__sw_64"), {"sw_64"}),
    (re.compile(r"__powerpc|__ppc|__PPC|_ARCH_PPC|__POWERPC"), {"ppc64"}),
    (re.compile(r"__s390"), {"s390"}),
    (re.compile(r"__sparc|__alpha|__ia64|__hppa|__m68k|__sh__|__e2k|__wasm"), {"other"}),
)
_ELSEWHERE = re.compile(
    r"_MSC_VER|_WIN32|_WIN64|__APPLE__|__ANDROID__|__CYGWIN__|__FreeBSD__|__sun\b|(?:OS|TARGET|PLATFORM|ABI)_(?:WIN\w*|OSX|MAC\w*|IOS|DARWIN|ANDROID)|"
    r"\w_WINDOWS\b|\bWINDOWS\b"
)
_X86 = re.compile(
    r"\b(?:x86|amd64|intel)\b|x86_64|_mm_\w+\(|\brdtsc|\bcpuid\b|\b[mls]fence\b|[ix]mmintrin|%%?[re][abcd]x|\bREG_(?:R|E)[A-Z]{2}\b",
    re.IGNORECASE,
)
_DEFINES = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
#: The name of a header that guards itself says nothing of what it is compiled for.
_GUARD = re.compile(r"_H(?:PP|H|XX)?_*\b|_INCLUDED\b")
_ASKED = re.compile(r"#[ \t]*ifndef[ \t]+(\w+)|![ \t]*defined[ \t]*\(?[ \t]*(\w+)")
_ERROR = re.compile(r"^\s*#\s*error\b")
#: Names of what may be left out: a fast path, a part that is there for some.
_OPTIONAL = re.compile(
    r"HAVE|HAS|USE|ENABLE|FAST|UNALIGNED|OPT|SUPPORT|SIMD|NEON|SSE|AVX|ASM|INTRIN|WITH|CACHE|INLINE|LIKELY|PREFETCH|_H_?$|JIT|ALIGN|CPU|UNROLL|^BITS$",
    re.IGNORECASE,
)
#: A default that says that it knows nothing: whoever reads it asks at run time.
_UNDECIDED = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w*ORDER\w*|\w*ENDIAN\w*)[ \t]+(?:0|\w*UNKNOWN\w*)[ \t]*(?:/|$)", re.MULTILINE
)
FAMILIES = 3  #: of architectures that a chain has to list, so that its default is taken for a property of the others


@dataclass
class _Branch:
    condition: str
    line: int
    around: bool  #: a condition that no Linux meets is around it
    inside: frozenset[str] = frozenset()  #: architectures of the branch that it stands in; none: it stands in none
    body: list[str] = field(default_factory=list)
    error: int = 0  #: line of its own #error

    @property
    def elsewhere(self) -> bool:
        """Whether no Linux meets its condition."""
        return bool(_ELSEWHERE.search(self.condition)) and not re.search(r"linux|unix|GNUC", self.condition)

    @property
    def named(self) -> set[str]:
        if _GUARD.search(self.condition):
            return set()
        every = architectures_named(self.condition)
        for words, architectures in _MACROS:
            if words.search(self.condition):
                every |= architectures
        return every


def passages(rule: Rule, place: str, text: str, languages: tuple[str, ...]) -> Iterator[Passage]:
    """Each chain of a text that leaves architectures out, with those that it names."""
    del rule, place, languages
    lines = text.split("\n")
    asked = {name for pair in _ASKED.findall(text) for name in pair if name}
    for chain in _chains(lines):
        passage = _of_chain(chain, lines, asked)
        if passage is not None:
            yield replace(passage, about=chain[0].inside)


def _chains(lines: list[str]) -> Iterator[list[_Branch]]:
    stack: list[list[_Branch]] = []
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        word = bare[1:].lstrip() if bare.startswith("#") else ""
        if word.startswith("if"):
            condition = _whole(lines, number)
            foreign = bool(stack) and (stack[-1][-1].around or stack[-1][-1].elsewhere)
            stack.append([_Branch(condition, number, foreign, _inside(stack))])
        elif word.startswith(("elif", "else")) and stack:
            condition = _whole(lines, number) if word.startswith("elif") else ""
            stack[-1].append(_Branch(condition, number, stack[-1][0].around, stack[-1][0].inside))
        elif word.startswith("endif") and stack:
            yield stack.pop()
        elif stack:
            branch = stack[-1][-1]
            branch.body.append(line)
            if _ERROR.match(line):
                branch.error = branch.error or number


def _inside(stack: list[list[_Branch]]) -> frozenset[str]:
    """Architectures that the innermost branch is for, where its condition, or one around it, says so."""
    if not stack:
        return frozenset()
    branch = stack[-1][-1]
    if (named := branch.named) and not _negative(branch.condition):
        return frozenset(named | ({"x86_64"} if "i386" in named else set()))
    return branch.inside


def _whole(lines: list[str], number: int) -> str:
    """A condition with the lines that it goes on in."""
    words = [lines[number - 1]]
    while words[-1].rstrip().endswith("\\") and number < len(lines) and len(words) < 50:
        words.append(lines[number])
        number += 1
    return " ".join(word.rstrip(" \\\r") for word in words)


def _of_chain(chain: list[_Branch], lines: list[str], asked: set[str]) -> Passage | None:
    """What is wrong with a chain. ``asked``: names that the text defines where nothing else does."""
    if any(branch.around for branch in chain):
        return None
    *conditional, last = chain if not chain[-1].condition else [*chain, _Branch("", 0, around=False)]
    conditional = [branch for branch in conditional if not branch.elsewhere]
    named: set[str] = set().union(*(branch.named for branch in conditional))
    if not named or not all(branch.named for branch in conditional):
        return None
    first = conditional[0]
    if any(_negative(branch.condition) for branch in conditional):
        if len(conditional) == 1 and first.error and not last.body:
            return _passage(first.error, first.body[0].strip() if first.body else first.condition, named)
        return None
    if last.error:
        return _passage(last.error, f"{first.condition.strip()} … {lines[last.error - 1].strip()}", named)
    if last.body and "x86_64" not in named and named - {"i386"} and _X86.search("\n".join(last.body)):
        return _passage(last.line, f"{first.condition.strip()} … #else is for x86", named | {"x86_64", "i386"})
    return _default(conditional, last, named, asked)


def _default(conditional: list[_Branch], last: _Branch, named: set[str], asked: set[str]) -> Passage | None:
    """Branches that define the same for many architectures, and something else, or nothing, for all others."""
    names = set.intersection(*(set(_DEFINES.findall("\n".join(branch.body))) for branch in conditional))
    names = {name for name in names if not _OPTIONAL.search(name)}
    families = {name.replace("x86_64", "i386").replace("aarch64", "arm") for name in named}
    if len(families) < FAMILIES or not names:
        return None
    if not last.line:
        missing = sorted(names - asked)
        if not missing or len(conditional) < 2:
            return None
        return _passage(conditional[0].line, f"{conditional[0].condition.strip()} … {missing[0]} is not defined", named)
    undecided = {match[1] for match in _UNDECIDED.finditer("\n".join(last.body))}
    other = sorted((names & set(_DEFINES.findall("\n".join(last.body)))) - undecided)
    if not other:
        return None
    return _passage(last.line, f"{conditional[0].condition.strip()} … #else defines another {other[0]}", named)


def _negative(condition: str) -> bool:
    return bool(re.search(r"!\s*\(?\s*defined|#\s*ifndef|!\s*__", condition))


def _passage(line: int, excerpt: str, named: set[str]) -> Passage:
    wide = named | ({"x86_64"} if "i386" in named and "x86_64" not in named else set())
    return Passage(line=line, excerpt=excerpt, named=frozenset(wide))
