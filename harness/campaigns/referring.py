"""The reference cell of each cell: whose numbers are compared with its own, and what it has left in the record."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.evidence import Workspace
from harness.model.context import ReferenceCell
from harness.model.plan import Cell
from harness.model.results import Result

#: The suite, its case, and the evidence in which that case names the files of numbers.
SUITE, CASE = "numeric/consistency", "NUM-01"
INDEX = f"{CASE}-numbers.json"
_POLL = 0.5


def reference_of(cell: Cell, values: Mapping[str, str]) -> str:
    """Id of the cell that has ``values`` and else the axes of ``cell``; empty where that is the cell itself."""
    other = Cell(
        axes=cell.axes | {axis: value for axis, value in values.items() if axis in cell.axes}, suites=(), reason=""
    )
    return "" if other.id == cell.id else other.id


@dataclass(frozen=True)
class References:
    """Who waits for whom, and what came of it. ``values``: what the matrix names as ``reference_cell``."""

    workspace: Workspace
    campaign: str
    values: Mapping[str, str]
    _ended: dict[str, threading.Event] = field(default_factory=dict)

    def first(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells in their order, those that others are compared with before all others; these are waited for."""
        if not self.values:
            return list(cells)
        chosen = {reference_of(cell, self.values) for cell in cells if SUITE in cell.suites} - {""}
        self._ended.update({cell.id: threading.Event() for cell in cells if cell.id in chosen})
        return sorted(cells, key=lambda cell: cell.id not in chosen)

    def wait(self, cell: Cell, stops: Iterable[threading.Event]) -> None:
        """Wait until the reference of a cell has come to its end, or something stops the campaign."""
        ended = self._ended.get(reference_of(cell, self.values)) if SUITE in cell.suites else None
        stops = tuple(stops)
        while ended is not None and not ended.wait(_POLL) and not any(stop.is_set() for stop in stops):
            pass

    def ended(self, cell: Cell) -> None:
        """Note that a cell has come to its end, whatever that was."""
        if cell.id in self._ended:
            self._ended[cell.id].set()

    def of(self, cell: Cell) -> ReferenceCell | None:
        """What the reference of a cell wrote; None where the matrix names none.

        Raises:
            InfrastructureError: the journal cannot be read.
        """
        if not self.values:
            return None
        reference = reference_of(cell, self.values)
        if not reference:
            return ReferenceCell(cell=cell.id, is_itself=True)
        journal = self.workspace.journal
        numbers = [attempt.number for attempt in journal.attempts(self.campaign, reference)]
        if not numbers:
            return ReferenceCell(cell=reference, trouble="it was not run in this campaign, or is no cell of the plan")
        last = max(numbers)
        cases = {each.case: each for each in journal.observations(self.campaign).get((reference, last), ())}
        files = [file for file in journal.files(self.campaign) if (file.cell, file.number) == (reference, last)]
        index = next((file for file in files if file.name == INDEX), None)
        result = cases[CASE].result if CASE in cases else Result.MISS
        if index is None or result is not Result.PASS:
            return ReferenceCell(
                cell=reference, trouble=f"its {CASE} is {result.value} there, so its numbers are not whole"
            )
        return ReferenceCell(
            cell=reference,
            index=self.workspace.store.path(index.sha256),
            files={f.sha256: self.workspace.store.path(f.sha256) for f in files if f.name.startswith(f"{CASE}-")},
        )
