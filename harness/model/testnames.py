"""Which tests a case means: by exact names, never by a part of one.

A case gives the name of a test function (``test_read``), with its class (``TestFiles::test_read``), with its file
(``test_a.py::test_read``, ``deep/test_a.py::TestFiles::test_read``), or with its parameters as pytest prints them
(``test_read[gbk]``). A case means all parameters of a function, unless it names one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class TestName:
    """One item of pytest: ``path`` of its file in the suite's folder, ``names`` of its classes and function,
    ``nodeid`` with parameters; ``line`` counts from 1, 0 where it is not known."""

    __test__ = False

    path: str
    names: tuple[str, ...]
    nodeid: str
    line: int = 0

    @property
    def function(self) -> str:
        """The exact name without parameters: ``deep/test_a.py::TestFiles::test_read``."""
        return "::".join((self.path, *self.names))

    def meant_by(self, test: str) -> bool:
        """Whether a case that gives ``test`` means this item."""
        if "[" in test:
            return self.nodeid == test or self.nodeid.endswith(f"::{test}")
        first, *rest = test.split("::")
        if first.endswith(".py"):
            return first == self.path and tuple(rest) == self.names
        return self.names[-len(rest) - 1 :] == (first, *rest)


@dataclass(frozen=True)
class Selection:
    """Which items each case means.

    ``items``: case -> indices of its items. ``ambiguous``: case -> the different functions that it could mean.
    ``unlisted``: indices of items that no case means.
    """

    items: dict[str, list[int]]
    ambiguous: dict[str, list[str]]
    unlisted: list[int]


def select(names: Sequence[TestName], tests: Iterable[str]) -> Selection:
    """Match the items of a folder with the ``test`` of each case."""
    items: dict[str, list[int]] = {}
    ambiguous: dict[str, list[str]] = {}
    listed: set[int] = set()
    by_last: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        by_last[name.names[-1]].append(index)
    for test in tests:
        candidates = range(len(names)) if "[" in test else by_last[test.rpartition("::")[2]]
        matched = [index for index in candidates if names[index].meant_by(test)]
        listed.update(matched)
        functions = sorted({names[index].function for index in matched})
        if len(functions) > 1:
            ambiguous[test] = functions
        items[test] = matched
    return Selection(items, ambiguous, [index for index in range(len(names)) if index not in listed])
