"""How long a cell may take, from what earlier attempts took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from harness.evidence import JournalReader
from harness.model.plan import Cell

#: Attempts looked at: the newest say most.
NEWEST = 500


def expected_seconds(journal: JournalReader, cells: Iterable[Cell]) -> dict[str, float]:
    """Seconds by cell id: the median of that cell's earlier attempts, else of those that share CPU and database, else
    CPU. A cell of which nothing is known is left out; so are attempts that came to no verdict.
    """
    known = journal.timings(NEWEST)
    expected: dict[str, float] = {}
    for cell in cells:
        for shared in (tuple(cell.axes), ("cpu", "os", "database"), ("cpu", "database"), ("cpu",)):
            took = _took(known, cell, shared)
            if took:
                expected[cell.id] = round(statistics.median(took), 1)
                break
    return expected


def _took(known: Sequence[tuple[dict[str, str], float]], cell: Cell, shared: Sequence[str]) -> list[float]:
    return [seconds for axes, seconds in known if all(axes.get(axis) == cell.axes.get(axis) for axis in shared)]


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """Seconds until all are done, the longest first on ``at_once`` lanes (Graham 1969: at most 4/3 of the best)."""
    lanes = [0.0] * max(1, at_once)
    for longest in sorted(seconds, reverse=True):
        lanes[lanes.index(min(lanes))] += longest
    return max(lanes)
