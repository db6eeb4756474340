"""Whether a program prints the version that was declared. Versions are compared by their parts, never as text.

- A declared version is a beginning: ``11.4`` holds for ``11.4.3``, and not for ``11.40`` or ``10.11.4``.
- What is declared must be printed whole: ``1.0.1`` and ``1.0.0`` do not hold for ``1.0``. Leading zeros do not count.
- A pre-release is another version: ``2.0`` does not hold for ``2.0-rc1``, unless ``2.0-rc1`` was declared.
- Where the declaration begins with a number, it is compared with the first version of each line, so that the
  compiler's version in the same line is not taken for the program's. Where words stand before the number
  (``openjdk version "17``), they must be printed before it. Case and width of blanks do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PART = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")
#: Between a number and these no part is missing: what follows belongs to the same version.
_JOINTS = frozenset(".-_+~")
#: Signs with which a declaration may end.
_TAIL = frozenset("._-\"'")
#: May stand right before a version, as in v1.2 and go1.22.
_PREFIXES = frozenset({"v", "ver", "version", "release", "r", "go", "jdk"})
_EARLY = frozenset("alpha beta rc cr pre preview dev snapshot nightly milestone".split())
#: Only together with a number (PEP 440): 1.0a1; 1.0.2a is a release of its own in other projects.
_EARLY_NUMBERED = frozenset("a b m".split())


@dataclass(frozen=True)
class _Part:
    """A number, a word or a sign, and whether it follows the part before it without a blank."""

    text: str
    joined: bool

    @property
    def is_number(self) -> bool:
        return self.text.isdecimal()

    @property
    def key(self) -> str:
        return str(int(self.text)) if self.is_number else self.text.casefold()


def states(printed: str, declared: str) -> bool:
    """Whether ``printed`` states the version, or the words, of ``declared``; nothing declared is stated by any text
    that is not blank."""
    wanted = _parts(declared)
    while wanted and wanted[-1].text in _TAIL:
        wanted = wanted[:-1]  # `17.` is the beginning 17
    if not wanted:
        return bool(printed.strip())
    return any(_line_states(_parts(line), wanted) for line in [printed, *printed.splitlines()])


def line_of(printed: str, declared: str) -> str:
    """The line that states the declared version, else the first that is not blank; empty where there is none."""
    lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    return next((line for line in lines if states(line, declared)), lines[0] if lines else "")


def _line_states(printed: Sequence[_Part], declared: Sequence[_Part]) -> bool:
    if not declared[0].is_number and any(_matches(declared, printed, start) for start in range(len(printed))):
        return True
    if declared[0].key in _PREFIXES and len(declared) > 1:
        declared = declared[1:]
    start = _first_version(printed) if declared[0].is_number else None
    return start is not None and _matches(declared, printed, start)


def _parts(text: str) -> list[_Part]:
    parts, end = [], -1
    for match in _PART.finditer(text):
        parts.append(_Part(match[0], match.start() == end))
        end = match.end()
    return parts


def _first_version(printed: Sequence[_Part]) -> int | None:
    """Where the first version begins: a number with further parts before one without."""
    starts = [index for index, part in enumerate(printed) if part.is_number and _begins(printed, index)]
    dotted = [index for index in starts if _goes_on(printed, index)]
    return next(iter([*dotted, *starts]), None)


def _begins(printed: Sequence[_Part], index: int) -> bool:
    """Whether no version goes on at this number, and it is no part of a word (x86, sqlite3)."""
    if not printed[index].joined or index == 0:
        return True
    before = printed[index - 1]
    if before.text.isalpha():
        return before.key in _PREFIXES and not (before.joined and index > 1 and printed[index - 2].is_number)
    if not before.joined or index < 2 or not printed[index - 2].is_number:
        return True
    clock = before.text == ":" and index > 3 and printed[index - 3].text == ":"  # 20:15:00.5; 1:4.7 is an epoch
    return before.text not in _JOINTS and not clock


def _goes_on(printed: Sequence[_Part], index: int) -> bool:
    following = printed[index + 1 : index + 3]
    return len(following) == 2 and following[0].text == "." and following[1].is_number and following[1].joined


def _matches(declared: Sequence[_Part], printed: Sequence[_Part], start: int) -> bool:
    """Whether the declared parts stand in what is printed from ``start`` on, and end where a part ends."""
    end = start + len(declared)
    if end > len(printed) or (printed[start].is_number and not _begins(printed, start)):
        return False
    for offset, part in enumerate(declared):
        if printed[start + offset].key != part.key or (offset and not _same_joint(part, printed[start + offset])):
            return False
    return not printed[end - 1].is_number or not _early(printed, end)


def _same_joint(declared: _Part, printed: _Part) -> bool:
    """A number that is joined in the declaration must be joined in what is printed."""
    return printed.joined or not declared.joined or not declared.is_number


def _early(printed: Sequence[_Part], index: int) -> bool:
    """Whether what is printed from ``index`` on makes the version before it a pre-release, or another number."""
    while (
        index + 1 < len(printed)
        and printed[index].text == "."
        and printed[index].joined
        and printed[index + 1].is_number
    ):
        index += 2
    if index < len(printed) and printed[index].text in _JOINTS and printed[index].joined:
        index += 1
    if index >= len(printed) or not printed[index].joined:
        return False
    numbered = index + 1 < len(printed) and printed[index + 1].is_number and printed[index + 1].joined
    return printed[index].key in _EARLY or (numbered and printed[index].key in _EARLY_NUMBERED)
