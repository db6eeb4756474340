"""Axes and cells from a spreadsheet: CSV (UTF-8) or XLSX, as centers keep their lists."""

from __future__ import annotations

import csv
import errno
import io
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.reading.confining import file_fault
from harness.reading.source import Source
from harness.reading.tables import Rows, bounded, sheet_fault
from harness.reading.workbooks import read_workbook
from harness.system.files import read_plain

MAX_BYTES = 5_000_000
SEPARATORS = (",", ";", "\t", "，")


def fill_from_sheets(source: Source) -> None:
    """Put what ``axes_from`` and ``include_from`` of a matrix name into its axes and includes.

    ``axes_from``: the first row names axes, each column lists the values of its axis. ``include_from``: the first row
    names axes, each further row is a cell.

    Raises:
        DefinitionError: a sheet cannot be read, or is not in this shape; line and column are those of the sheet.
    """
    value = source.value
    if not isinstance(value, dict):
        return
    faults: list[Fault] = []
    if isinstance(value.get("axes_from"), str):
        place = source.place(("axes_from",))
        axes = value.setdefault("axes", {})
        path, rows = _open(source, ("axes_from",))
        for column, axis in enumerate(rows[0][1]):
            if isinstance(axes, dict) and axis in axes:
                faults.append(sheet_fault(path, rows[0][0], column, f"axis {axis!r} stands in the matrix too"))
                continue
            values = [(line, cells[column]) for line, cells in rows[1:] if cells[column]]
            if isinstance(axes, dict):
                axes[axis] = [text for _, text in values]
                source.places[("axes", axis)] = place
                source.sheet_places[("axes", axis)] = (path, rows[0][0], column + 1)
                for index, (line, _) in enumerate(values):
                    source.sheet_places[("axes", axis, index)] = (path, line, column + 1)
        if not isinstance(axes, dict):
            faults.append(source.fault(("axes",), "not a mapping", expected="axis: [values]"))
    if isinstance(value.get("include_from"), str):
        place = source.place(("include_from",))
        include = value.setdefault("include", [])
        path, rows = _open(source, ("include_from",))
        names = rows[0][1]
        for line, cells in rows[1:]:
            faults += [
                sheet_fault(path, line, column, f"no value for axis {name!r}", expected="a value in every column")
                for column, name in enumerate(names)
                if not cells[column]
            ]
            if isinstance(include, list):
                source.places[("include", len(include))] = place
                source.sheet_places[("include", len(include))] = (path, line, 1)
                for column, name in enumerate(names):
                    source.sheet_places[("include", len(include), name)] = (path, line, column + 1)
                include.append(dict(zip(names, cells, strict=True)))
    if faults:
        raise DefinitionError(faults)


def _open(source: Source, loc: tuple[str]) -> tuple[Path, Rows]:
    """Rows with their line in the sheet; all as wide as the first, empty ones left out."""
    name = source.value[loc[0]]
    path = source.path.parent / name

    def refuse(message: str, expected: str = "", actual: str = "") -> DefinitionError:
        return DefinitionError([source.fault(loc, message, expected=expected, found=actual)])

    if (fault := file_fault(source, loc, name, "the sheet")) is not None:
        raise DefinitionError([fault])
    try:
        data = read_plain(path, MAX_BYTES)
    except OSError as error:
        message = "the sheet is too large" if error.errno == errno.EFBIG else "the sheet cannot be read"
        raise refuse(message, f"at most {MAX_BYTES} bytes", f"{name}: {error.strerror}") from error
    match path.suffix.lower():
        case ".csv":
            rows = csv_rows(path, data)
        case ".xlsx":
            rows = read_workbook(path, data, source.warnings)
        case _:
            raise refuse("not a kind of sheet that is known here", expected=".csv or .xlsx", actual=name)
    return path, _even(path, [(line, cells) for line, cells in rows if any(cells)])


def _even(path: Path, rows: Rows) -> Rows:
    """Rows as wide as the first, which names the axes.

    Raises:
        DefinitionError: there is no row, or a column or a value has no name.
    """
    if not rows:
        raise DefinitionError(
            [sheet_fault(path, 1, 0, "the sheet is empty", expected="a first row with names of axes")]
        )
    first, head = rows[0]
    while head and not head[-1]:
        head.pop()
    faults = [
        sheet_fault(path, first, column, "a column without a name", expected="the name of an axis")
        for column, axis in enumerate(head)
        if not axis
    ]
    faults += [
        sheet_fault(path, first, column, f"axis {axis!r} stands twice")
        for column, axis in enumerate(head)
        if axis and axis in head[:column]
    ]
    even: Rows = []
    for line, cells in rows:
        faults += [
            sheet_fault(path, line, column, "a value without an axis", expected="a name in the first row", found=text)
            for column, text in enumerate(cells)
            if column >= len(head) and text
        ]
        even.append((line, [*cells, *[""] * len(head)][: len(head)]))
    if faults:
        raise DefinitionError(faults)
    return even


def csv_rows(path: Path, data: bytes) -> Rows:
    """Rows of a CSV, with their line.

    Raises:
        DefinitionError: it is no UTF-8, no CSV, or too large; line and column are those of the sheet.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            [
                sheet_fault(
                    path,
                    data[: error.start].count(b"\n") + 1,
                    0,
                    "the sheet is not UTF-8",
                    hint="save it as “CSV UTF-8”, or as .xlsx",
                )
            ]
        ) from error
    # Some programs write semicolons where the comma is the decimal point; a Chinese keyboard has another comma.
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: Rows = []
    try:
        for cells in reader:
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
            bounded(path, rows)
    except csv.Error as error:
        raise DefinitionError([sheet_fault(path, reader.line_num, 0, f"not valid CSV: {error}")]) from error
    return rows
