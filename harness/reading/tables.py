"""Rows of a sheet, and faults that name their place in it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import DefinitionError, Fault

MAX_ROWS = 20_000
MAX_COLUMNS = 100

#: Line of the sheet, from 1, and its values as texts.
Rows = list[tuple[int, list[str]]]


def sheet_fault(path: Path, line: int, column: int, message: str, **more: str) -> Fault:
    """A fault in a cell of a sheet; ``line`` counts from 1, ``column`` from 0."""
    return Fault(file=str(path), line=line, column=column + 1, message=message, **more)


def bounded(path: Path, rows: Rows) -> None:
    """Check the last of the rows that were read so far against the limits.

    Raises:
        DefinitionError: the sheet has too many rows or columns.
    """
    line, cells = rows[-1]
    if len(rows) > MAX_ROWS or (len(cells) > MAX_COLUMNS and any(cells[MAX_COLUMNS:])):
        raise DefinitionError(
            [
                sheet_fault(
                    path,
                    line,
                    0,
                    "the sheet is too large",
                    expected=f"at most {MAX_ROWS} rows and {MAX_COLUMNS} columns",
                )
            ]
        )
