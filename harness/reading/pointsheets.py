"""What sheets of points have in common, whatever the protocol: rows, headings, names, access, ranges."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.reading.parsing import nearest
from harness.reading.sheets import MAX_BYTES, csv_rows
from harness.reading.tables import Rows, sheet_fault
from harness.reading.workbooks import read_workbook
from harness.system.files import read_plain

_ACCESS = {"": False, "r": False, "读": False, "rw": True, "读写": True}
#: Characters of a name.
LONGEST_NAME = 120


def read_sheet(
    path: Path, headings: Mapping[str, str], needed: tuple[str, ...], warnings: list[Fault] | None = None
) -> tuple[Rows, dict[str, int], list[Fault]]:
    """The rows below the headings, the column of each key, and a list for faults.

    Raises:
        DefinitionError: it is no sheet, or its headings are not those that are known.
    """
    rows = [(line, cells) for line, cells in _rows(path, warnings if warnings is not None else []) if any(cells)]
    if not rows:
        raise DefinitionError([sheet_fault(path, 1, 0, "the sheet is empty", expected="a first row with headings")])
    columns, faults = _columns(path, rows[0], headings, needed)
    if faults:
        raise DefinitionError(faults)
    if len(rows) == 1:
        faults.append(sheet_fault(path, rows[0][0], 0, "the sheet has no point", expected="a row for each point"))
    return rows[1:], columns, faults


def _rows(path: Path, warnings: list[Fault]) -> Rows:
    try:
        data = read_plain(path, MAX_BYTES)
    except OSError as error:
        words = f"at most {MAX_BYTES} bytes" if error.errno == errno.EFBIG else ""
        message = f"the sheet cannot be read: {error.strerror}"
        raise DefinitionError([sheet_fault(path, 1, 0, message, expected=words)]) from error
    match path.suffix.lower():
        case ".csv":
            return csv_rows(path, data)
        case ".xlsx":
            return read_workbook(path, data, warnings)
    message = "not a kind of sheet that is known here"
    raise DefinitionError([sheet_fault(path, 1, 0, message, expected=".csv or .xlsx", found=path.name)])


def _columns(
    path: Path, row: tuple[int, list[str]], headings: Mapping[str, str], needed: tuple[str, ...]
) -> tuple[dict[str, int], list[Fault]]:
    """Column of each key by the headings."""
    line, cells = row
    columns: dict[str, int] = {}
    faults: list[Fault] = []
    for column, heading in enumerate(cells):
        key = headings.get(heading.lower())
        if key is None and heading:
            expected = f"one of {', '.join(headings)}"
            hint = nearest(heading.lower(), headings)
            faults.append(
                sheet_fault(path, line, column, "unknown heading", expected=expected, found=heading, hint=hint)
            )
        elif key in columns:
            faults.append(sheet_fault(path, line, column, f"two columns are the {key}", found=heading))
        elif key is not None:
            columns[key] = column
    if missing := [key for key in needed if key not in columns]:
        faults.append(sheet_fault(path, line, 0, f"no column {', '.join(missing)}", expected=", ".join(needed)))
    return columns, faults


@dataclass
class SheetRow:
    """A row of a sheet; what is wrong with it is added to ``faults``."""

    path: Path
    line: int
    columns: Mapping[str, int]
    cells: list[str]
    faults: list[Fault]

    def text(self, key: str) -> str:
        """The text of a cell by the key of its column; empty where there is none."""
        column = self.columns.get(key, len(self.cells))
        return self.cells[column] if column < len(self.cells) else ""

    def refuse(self, key: str, message: str, **more: str) -> None:
        """Add a fault at a cell; ``more``: fields of ``Fault``."""
        shown = {"found": self.text(key)[:LONGEST_NAME]} | more
        self.faults.append(sheet_fault(self.path, self.line, self.columns.get(key, 0), message, **shown))

    def choice(self, key: str, known: Iterable[str], default: str, words: Mapping[str, str] = {}) -> str:
        """One of some words; ``words``: what stands for them in another language."""
        text = self.text(key) or default
        value = words.get(text, text)
        if value not in known:
            self.refuse(key, f"no such {key}", expected=f"one of {', '.join(known)}", hint=nearest(text, known))
        return value

    def number(self, key: str, text: str) -> float | None:
        """A finite number; None where the text is none, which is a fault."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        self.refuse(key, f"the {key} is no number", expected="a number such as 0.1")
        return None

    def name(self) -> str:
        """The name of the point."""
        name = self.text("name")
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            self.refuse("name", "the name of a point", expected=f"1 to {LONGEST_NAME} printable characters")
        return name

    def writable(self) -> bool:
        """Whether the point may be written."""
        if self.text("access").lower() not in _ACCESS:
            self.refuse("access", "no such access", expected="r or rw")
        return _ACCESS.get(self.text("access").lower(), False)

    def range(self) -> tuple[float | None, float | None]:
        """Both limits; None for both where the cell is empty, or has a fault."""
        text = self.text("range")
        if not text:
            return None, None
        parts = text.split("..") if ".." in text else text.split("~")
        limits = [self.number("range", part.strip()) for part in parts] if len(parts) == 2 else []
        if not limits:
            self.refuse("range", "the range has not the form that is wanted", expected="LOW..HIGH, such as -40..120")
        if len(limits) != 2 or limits[0] is None or limits[1] is None:
            return None, None
        if limits[0] > limits[1]:
            self.refuse("range", "the range ends before it begins", expected="LOW..HIGH")
        return limits[0], limits[1]


def twice(path: Path, named: Iterable[tuple[int, str]], what: str = "a second point of this name") -> Iterator[Fault]:
    """Rows whose word stands in a row before; ``named``: line and word of each."""
    lines: dict[str, int] = {}
    for line, word in named:
        if (first := lines.setdefault(word, line)) != line:
            yield sheet_fault(path, line, 0, what, expected=f"another than that of line {first}", found=word)
