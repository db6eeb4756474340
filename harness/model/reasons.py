"""Why a cell has its verdict: every case that did not pass, those with one reason together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from harness.model.results import Cause, Result

#: Characters of a reason; the evidence has the rest.
LONGEST = 400
#: Results that need a reason, in the order in which reports show them.
WORST = (Result.FAIL, Result.ERROR, Result.MISS)


class CaseOutcome(Protocol):
    """What a reason is written from: the end of a case."""

    @property
    def label(self) -> str:
        """By what a reader knows the case."""
        ...

    @property
    def result(self) -> Result:
        """What became of it."""
        ...

    @property
    def cause(self) -> Cause | None:
        """Whose it is where nothing is known of the product."""
        ...

    @property
    def detail(self) -> str:
        """What was observed, in words."""
        ...


def reasons_of(cases: Iterable[CaseOutcome]) -> tuple[str, ...]:
    """A line a reason: ids, result, cause, and the words, on one line and cut; failures first."""
    groups: dict[tuple[Result, Cause | None, str], list[str]] = {}
    for case in cases:
        if case.result in WORST:
            words = " ".join(case.detail.split())
            words = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
            groups.setdefault((case.result, case.cause, words), []).append(case.label)
    ordered = sorted(groups.items(), key=lambda group: WORST.index(group[0][0]))
    return tuple(
        f"{', '.join(labels)}: {result.value}{f' ({cause.value})' if cause is not None else ''}"
        f"{f': {words}' if words else ''}"
        for (result, cause, words), labels in ordered
    )
