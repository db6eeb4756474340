"""The table of an XLSX workbook, as its author sees it: what is shown otherwise than it is stored is refused."""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from harness.errors import DefinitionError, Fault
from harness.reading.parts import excess_of
from harness.reading.tables import MAX_COLUMNS, Rows, bounded, sheet_fault

#: Excel shows numbers with more digits in a form of its own where no format is set.
MAX_SHOWN = 10**11
_DECIMALS = re.compile(r"0(?:\.(0+))?")


def read_workbook(path: Path, data: bytes, warnings: list[Fault]) -> Rows:
    """Rows of the first sheet with any value. Hidden rows and columns and further sheets are added to ``warnings``.

    Raises:
        DefinitionError: it is no workbook, or holds values that are not shown as they are stored; line and column are
            those of the sheet.
    """
    # Imported here: it takes a tenth of a second, and few matrices have a workbook.
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            if excess := excess_of(parts):
                raise DefinitionError([sheet_fault(path, 1, 0, excess)])
        values = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(data), data_only=False)
        return _rows(path, values, formulas, warnings)
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        OSError,
        AttributeError,
        MemoryError,
        SyntaxError,
        RuntimeError,
        EOFError,
        ArithmeticError,
        struct.error,
        zlib.error,
        lzma.LZMAError,
    ) as error:  # openpyxl lets all of these through on a broken file
        raise DefinitionError([sheet_fault(path, 1, 0, f"not a workbook that can be read: {error}")]) from error


def _rows(path: Path, values: Any, formulas: Any, warnings: list[Fault]) -> Rows:
    filled = [sheet for sheet in values.worksheets if _holds_anything(sheet)]
    sheet = filled[0] if filled else values.worksheets[0]
    for other in filled[1:]:
        message = f"sheet {other.title!r} is not read, only sheet {sheet.title!r} is"
        warnings.append(sheet_fault(path, 1, 0, message))
    faults = [
        sheet_fault(
            path, row, column - 1, "a value beyond the columns that are read", expected=f"{MAX_COLUMNS} columns"
        )
        for (row, column), cell in sheet._cells.items()  # to ask for each place would make a cell of each
        if column > MAX_COLUMNS and cell.value is not None
    ][:1]
    rows: Rows = []
    shown = formulas[sheet.title]
    for number, cells in enumerate(sheet.iter_rows(max_col=min(sheet.max_column, MAX_COLUMNS + 1)), 1):
        texts = []
        for column, cell in enumerate(cells):
            formula = shown.cell(row=number, column=column + 1).data_type == "f"
            try:
                texts.append(_text(cell, formula=formula))
            except _Unlike as error:
                texts.append("?")
                hint = "format the cell as text, and write the value as it shall be read"
                faults.append(sheet_fault(path, number, column, str(error), found=str(cell.value), hint=hint))
        rows.append((number, texts))
        bounded(path, rows)
        if any(texts) and sheet.row_dimensions[number].hidden:
            warnings.append(sheet_fault(path, number, 0, "this row is hidden, and is read all the same"))
    for letter, dimension in sheet.column_dimensions.items():
        if dimension.hidden:
            warnings.append(sheet_fault(path, 1, 0, f"column {letter} is hidden, and is read all the same"))
    if faults:
        raise DefinitionError(faults)
    return rows


def _holds_anything(sheet: Any) -> bool:
    # Every place that is asked for becomes a cell, so no more is asked for than a sheet may have.
    rows, columns = min(sheet.max_row, 1000), min(sheet.max_column, MAX_COLUMNS + 1)
    return any(
        cell is not None for row in sheet.iter_rows(values_only=True, max_row=rows, max_col=columns) for cell in row
    )


class _Unlike(Exception):
    """A value that is shown in another form than it is stored; the message says what it is."""


def _text(cell: Any, *, formula: bool) -> str:
    """A cell as its author sees it. Excel knows no whole numbers: 22.0 is 22."""
    value, form = cell.value, str(cell.number_format or "General")
    if value is None:
        if formula:
            raise _Unlike("a formula without a stored value: open and save the workbook, or write the value")
        return ""
    if cell.data_type == "e":
        raise _Unlike("an error of the spreadsheet")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        raise _Unlike("a truth value, which each language shows otherwise")
    if not isinstance(value, int | float):
        raise _Unlike("a date or a time, whose form is a setting of the spreadsheet")
    if form in ("General", "@") and abs(value) < MAX_SHOWN:
        return str(int(value)) if float(value).is_integer() else repr(value)
    if (decimals := _DECIMALS.fullmatch(form)) is not None:
        return f"{value:.{len(decimals[1] or '')}f}"
    raise _Unlike(f"a number in the form {form!r}")
