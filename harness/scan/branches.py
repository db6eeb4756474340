"""Which conditions stand around the lines of a text: what lies in a branch for one architecture is not for others.

Nothing is parsed: the words that begin, change and end a branch are looked for at the beginnings of lines, as people
write them in shells, CMake, make, Meson, and Python (by its indentation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.scan.variants import architectures_named

#: Words that conditions about an architecture have.
ARCHITECTURE = re.compile(
    r"x86|i[3-6?*]86|\*[3-6?]?86|ix86|amd64|x64|_M_X64|_M_IX86|SSE|AVX|MMX|aarch64|arm|neon|loong|mips|riscv|ppc|__has_include|intel"
    r"|_MSC_VER|_WIN32|__APPLE__|__BMI|HAVE_BMI|__FMA|__F16C|PCLMUL|__AES__|__SHA__|__POPCNT|HAVE_\w*INTRIN|RDRAND|RDSEED|CPUID|RDTSC"
    r"|SIMD|[NY]ASM|haswell|westmere|nehalem|skylake|icelake|sandybridge|znver"
    r"|SunOS|Solaris|Darwin|\bAIX\b|CYGWIN|MINGW|MSYS|(?:Open|Free|Net)BSD",
    re.IGNORECASE,
)
_OPENS = re.compile(r"\s*(?:if|ifeq|ifneq|ifdef|ifndef)\b(?!:)")
_CHANGES = re.compile(r"\s*(?:elif|elseif|else)\b(?!:)")
#: A condition goes on in the next line.
_GOES_ON = re.compile(r"(?:\bor|\band|&&|\|\||[(,\\])\s*$")
#: The targets of a rule of make.
_TARGET = re.compile(r"[^\s:=#][^:=#]*::?(?![=])")
_CLOSES = re.compile(r"\s*(?:endif|fi|end)\b(?!:)")
_CASE, _ARM, _ESAC = re.compile(r"\s*case\b.*\bin\b"), re.compile(r"\s*\(?([^()#]*)\)"), re.compile(r"\s*esac\b")
#: A condition of Rust is the line that names the architecture.
_CFG = re.compile(r"\b(?:cfg|cfg_attr|cfg_if)\b|\btarget_(?:arch|feature)\s*=")
_ONE_LINE = re.compile(r"\b(?:fi|endif)\b")


def around(text: str, languages: tuple[str, ...]) -> list[bool]:
    """For each line whether a condition about an architecture is around it, as the languages of the text have them."""
    if "c" in languages:
        return list(_preprocessor(text))
    if "python" in languages:
        return list(_indented(text))
    if {"make", "shell", "packaging", "yaml"} & set(languages):
        return list(_worded(text))
    if "rust" in languages:
        return [bool(_CFG.search(line)) for line in text.split("\n")]
    return []


def _preprocessor(text: str) -> Iterator[bool]:
    stack: list[bool] = []
    depth = 0  # conditions about an architecture in the stack
    goes_on = False
    for line in text.split("\n"):
        bare = line.strip()
        if goes_on and stack and not stack[-1] and ARCHITECTURE.search(bare):
            stack[-1] = True
            depth += 1
        goes_on = bare.endswith("\\") and (goes_on or re.match(r"#\s*(?:el)?if", bare) is not None)
        if bare.startswith("#"):
            word = bare[1:].lstrip()
            if word.startswith("if"):
                stack.append(bool(ARCHITECTURE.search(word)))
                depth += stack[-1]
            elif word.startswith(("elif", "else")) and stack:
                if not stack[-1] and ARCHITECTURE.search(word):
                    stack[-1] = True
                    depth += 1
            elif word.startswith("endif") and stack:
                depth -= stack.pop()
        yield depth > 0


def _worded(text: str) -> Iterator[bool]:
    stack: list[tuple[bool, bool]] = []  # whether it is a case, and whether the branch is for an architecture
    goes_on = False
    for line in text.split("\n"):
        inside = bool(ARCHITECTURE.search(line))
        if goes_on and stack:
            stack[-1] = (False, inside or stack[-1][1])
        goes_on = bool((goes_on or _OPENS.match(line) or _CHANGES.match(line)) and _GOES_ON.search(line))
        if _CASE.match(line):
            stack.append((True, False))
        elif _OPENS.match(line):
            if _ONE_LINE.search(line):
                yield inside or any(branch for _, branch in stack)
                continue
            stack.append((False, inside))
        elif _CHANGES.match(line) and stack:
            stack[-1] = (False, inside or stack[-1][1])
        elif _CLOSES.match(line) or _ESAC.match(line):
            stack[-1:] = []
        elif stack and stack[-1][0] and (arm := _ARM.match(line)) is not None:
            stack[-1] = (True, bool(ARCHITECTURE.search(arm[1])))
        yield any(branch for _, branch in stack)


def _indented(text: str) -> Iterator[bool]:
    stack: list[tuple[int, bool]] = []
    for line in text.split("\n"):
        bare = line.lstrip()
        if bare:
            depth = len(line) - len(bare)
            while stack and stack[-1][0] >= depth:
                stack.pop()
        yield any(inside for _, inside in stack)
        if re.match(r"(?:if|elif|else)\b.*:\s*(?:#.*)?$", bare):
            stack.append((len(line) - len(bare), bool(ARCHITECTURE.search(bare))))


def chosen(text: str, languages: tuple[str, ...]) -> list[bool]:
    """For each line whether it lies in a branch whose own condition names an architecture. The line with the condition
    does not, nor does what all others get: these are the places that leave architectures out."""
    if "python" in languages:
        return list(_chosen_indented(text))
    if {"shell", "yaml", "docker"} & set(languages):
        return list(_chosen_worded(text))
    return list(_chosen_targets(text)) if "make" in languages else []


def _chosen_targets(text: str) -> Iterator[bool]:
    """Rules of make whose targets name an architecture, with their recipes: they are made by these names."""
    inside = False
    for line in text.split("\n"):
        if not line.startswith(("\t", "#")) and line.strip():
            target = _TARGET.match(line)
            inside = target is not None and bool(architectures_named(target[0]))
        yield inside


def _chosen_worded(text: str) -> Iterator[bool]:
    stack: list[tuple[bool, bool]] = []  # whether it is a case, and whether its branch names an architecture
    for line in text.split("\n"):
        if _CASE.match(line):
            stack.append((True, False))
        elif _OPENS.match(line) and not _ONE_LINE.search(line):
            yield any(named for _, named in stack)
            stack.append((False, bool(architectures_named(line))))
            continue
        elif _CHANGES.match(line) and stack:
            stack[-1] = (False, False)
            yield any(named for _, named in stack)
            stack[-1] = (False, bool(architectures_named(line)))
            continue
        elif _CLOSES.match(line) or _ESAC.match(line):
            stack[-1:] = []
        elif stack and stack[-1][0] and (arm := _ARM.match(line)) is not None:
            stack[-1] = (True, False)
            yield any(named for _, named in stack)
            stack[-1] = (True, bool(architectures_named(arm[1])))
            continue
        yield any(named for _, named in stack)


def _chosen_indented(text: str) -> Iterator[bool]:
    stack: list[tuple[int, bool]] = []
    for line in text.split("\n"):
        bare = line.lstrip()
        if bare:
            depth = len(line) - len(bare)
            while stack and stack[-1][0] >= depth:
                stack.pop()
        yield any(inside for _, inside in stack)
        if re.match(r"(?:if|elif)\b.*:\s*(?:#.*)?$", bare):
            stack.append((len(line) - len(bare), bool(architectures_named(bare))))


def constructs(text: str, languages: tuple[str, ...]) -> list[int]:
    """For each line with a condition of a shell the number of its case or its chain; 0 for other lines."""
    if not {"shell", "yaml", "docker"} & set(languages):
        return []
    numbers, stack, last = [], [0], 0
    for line in text.split("\n"):
        number = 0
        if _CASE.match(line) or (_OPENS.match(line) and not _ONE_LINE.search(line)):
            last += 1
            stack.append(last)
            number = 0 if _CASE.match(line) else last
        elif _CHANGES.match(line) or (stack[-1] and _ARM.match(line)):
            number = stack[-1]
        elif (_CLOSES.match(line) or _ESAC.match(line)) and len(stack) > 1:
            stack.pop()
        numbers.append(number)
    return numbers
