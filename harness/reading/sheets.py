"""Axes and cells from a spreadsheet: CSV (UTF-8) or XLSX, as centers keep their lists."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

from harness.errors import DefinitionError, Fault
from harness.reading.source import Source

MAX_BYTES = 5_000_000
MAX_ROWS = 20_000
MAX_COLUMNS = 100

Rows = list[tuple[int, list[str]]]


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
                faults.append(_fault(path, rows[0][0], column, f"axis {axis!r} stands in the matrix too"))
                continue
            found = [(line, cells[column]) for line, cells in rows[1:] if cells[column]]
            if isinstance(axes, dict):
                axes[axis] = [text for _, text in found]
                source.places[("axes", axis)] = place
        if not isinstance(axes, dict):
            faults.append(source.fault(("axes",), "not a mapping", expected="axis: [values]"))
    if isinstance(value.get("include_from"), str):
        place = source.place(("include_from",))
        include = value.setdefault("include", [])
        path, rows = _open(source, ("include_from",))
        names = rows[0][1]
        for line, cells in rows[1:]:
            faults += [
                _fault(path, line, column, f"no value for axis {name!r}", expected="a value in every column")
                for column, name in enumerate(names)
                if not cells[column]
            ]
            if isinstance(include, list):
                source.places[("include", len(include))] = place
                include.append(dict(zip(names, cells, strict=True)))
    if faults:
        raise DefinitionError(faults)


def _fault(path: Path, line: int, column: int, message: str, **more: str) -> Fault:
    return Fault(file=str(path), line=line, column=column + 1, message=message, **more)


def _open(source: Source, loc: tuple[str]) -> tuple[Path, Rows]:
    """Rows with their line in the sheet; all as wide as the first, empty ones left out."""
    root = source.path.parent.resolve()
    name = source.value[loc[0]]
    path = source.path.parent / name

    def refuse(message: str, expected: str = "", found: str = "") -> DefinitionError:
        return DefinitionError([source.fault(loc, message, expected=expected, found=found)])

    if not path.resolve().is_relative_to(root):
        raise refuse("the sheet lies outside the matrix's folder", expected=f"a path below {root}", found=name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refuse("the sheet cannot be read", found=f"{name}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise refuse("the sheet is too large", expected=f"at most {MAX_BYTES} bytes", found=f"{len(data)} bytes")
    match path.suffix.lower():
        case ".csv":
            rows = _csv(path, data)
        case ".xlsx":
            rows = _xlsx(path, data)
        case _:
            raise refuse("not a kind of sheet that is known here", expected=".csv or .xlsx", found=name)
    filled = [(line, cells) for line, cells in rows if any(cells)]
    if not filled:
        raise DefinitionError([_fault(path, 1, 0, "the sheet is empty", expected="a first row with names of axes")])
    head = filled[0][1]
    while head and not head[-1]:
        head.pop()
    faults = [
        _fault(path, filled[0][0], column, "a column without a name", expected="the name of an axis")
        for column, axis in enumerate(head)
        if not axis
    ]
    faults += [
        _fault(path, filled[0][0], column, f"axis {axis!r} stands twice")
        for column, axis in enumerate(head)
        if axis and axis in head[:column]
    ]
    even: Rows = []
    for line, cells in filled:
        faults += [
            _fault(path, line, column, "a value without an axis", expected="a name in the first row", found=text)
            for column, text in enumerate(cells)
            if column >= len(head) and text
        ]
        even.append((line, [*cells, *[""] * len(head)][: len(head)]))
    if faults:
        raise DefinitionError(faults)
    return path, even


def _csv(path: Path, data: bytes) -> Rows:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            [
                _fault(
                    path,
                    data[: error.start].count(b"\n") + 1,
                    0,
                    "the sheet is not UTF-8",
                    hint="save it as “CSV UTF-8”, or as .xlsx",
                )
            ]
        ) from error
    first = text.partition("\n")[0]  # some programs write semicolons where the comma is the decimal point
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: Rows = []
    try:
        for cells in reader:
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
            _bounded(path, rows)
    except csv.Error as error:
        raise DefinitionError([_fault(path, reader.line_num, 0, f"not valid CSV: {error}")]) from error
    return rows


def _xlsx(path: Path, data: bytes) -> Rows:
    # Imported here: it takes a tenth of a second, and few matrices have a workbook.
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    rows: Rows = []
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        try:
            for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True, max_col=MAX_COLUMNS + 1), 1):
                rows.append((number, [_text(cell) for cell in cells]))
                _bounded(path, rows)
        finally:
            book.close()
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        OSError,
        AttributeError,
        SyntaxError,
    ) as error:  # openpyxl lets all of these through on a broken file
        raise DefinitionError([_fault(path, 1, 0, f"not a workbook that can be read: {error}")]) from error
    return rows


def _bounded(path: Path, rows: Rows) -> None:
    line, cells = rows[-1]
    if len(rows) > MAX_ROWS or (len(cells) > MAX_COLUMNS and any(cells[MAX_COLUMNS:])):
        raise DefinitionError(
            [
                _fault(
                    path,
                    line,
                    0,
                    "the sheet is too large",
                    expected=f"at most {MAX_ROWS} rows and {MAX_COLUMNS} columns",
                )
            ]
        )


def _text(value: Any) -> str:
    """A cell as the author sees it: 22.0 is 22, for Excel knows no whole numbers."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
