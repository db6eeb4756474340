"""Which conditions stand around the lines of a text: what lies in a branch for one architecture is not for others.

Nothing is parsed: the words that begin, change and end a branch are looked for at the beginnings of lines, as people
write them in shells, CMake, make, Meson, and Python (by its indentation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Words that conditions about an architecture have.
ARCHITECTURE = re.compile(
    r"x86|i[3-6]86|amd64|x64|_M_X64|_M_IX86|SSE|AVX|MMX|aarch64|arm|neon|loong|mips|riscv|ppc|__has_include|intel"
    r"|_MSC_VER|_WIN32|__APPLE__|__BMI|HAVE_BMI|__FMA|__F16C|PCLMUL|__AES__|__SHA__|__POPCNT|HAVE_\w*INTRIN|RDRAND|RDSEED|CPUID|RDTSC"
    r"|SunOS|Solaris|Darwin|\bAIX\b|CYGWIN|MINGW|MSYS|(?:Open|Free|Net)BSD",
    re.IGNORECASE,
)
_OPENS = re.compile(r"\s*(?:if|ifeq|ifneq|ifdef|ifndef)\b")
_CHANGES = re.compile(r"\s*(?:elif|elseif|else)\b")
_CLOSES = re.compile(r"\s*(?:endif|fi|end)\b")
_CASE, _ARM, _ESAC = re.compile(r"\s*case\b.*\bin\b"), re.compile(r"\s*\(?([^()#]*)\)"), re.compile(r"\s*esac\b")
_ONE_LINE = re.compile(r"\b(?:fi|endif)\b")


def around(text: str, languages: tuple[str, ...]) -> list[bool]:
    """For each line whether a condition about an architecture is around it, as the languages of the text have them."""
    if "c" in languages:
        return list(_preprocessor(text))
    if "python" in languages:
        return list(_indented(text))
    if {"make", "shell", "packaging"} & set(languages):
        return list(_worded(text))
    return []


def _preprocessor(text: str) -> Iterator[bool]:
    stack: list[bool] = []
    depth = 0  # conditions about an architecture in the stack
    for line in text.split("\n"):
        bare = line.strip()
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
    for line in text.split("\n"):
        inside = bool(ARCHITECTURE.search(line))
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
