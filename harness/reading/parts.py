"""The parts of a workbook are counted before it is read: whoever reads it makes an object of every cell."""

from __future__ import annotations

import re
import zipfile
from typing import Any
from xml.parsers import expat

#: Bytes of all parts when they are unpacked, and cells of all sheets.
MAX_UNPACKED, MAX_CELLS = 20_000_000, 200_000
_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?")


def excess_of(archive: zipfile.ZipFile) -> str:
    """Why a workbook must not be read; empty where it may.

    Raises:
        zipfile.BadZipFile, ValueError: a part is damaged, or is no XML.
    """
    size = sum(part.file_size for part in archive.infolist())
    if size > MAX_UNPACKED:
        return f"the workbook unfolds to {size} bytes; the limit is {MAX_UNPACKED}"
    counts = _Counts()
    for part in archive.infolist():  # a sheet may have any name
        counts.count(archive.read(part), strict=part.filename.lower().endswith((".xml", ".rels")))
    if counts.types:
        return "a part of the workbook declares a document type, which no workbook does"
    if counts.cells > MAX_CELLS:
        return f"the workbook has {counts.cells} cells; the limit is {MAX_CELLS}"
    return ""


class _Counts:
    """Cells that a reader makes of XML: those that stand there, and those of ranges that are merged."""

    def __init__(self) -> None:
        self.cells, self.types = 0, 0

    def count(self, data: bytes, *, strict: bool) -> None:
        """Count what a part holds. ``strict``: it must be XML, by its name."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = self._type
        try:
            parser.Parse(data, True)  # noqa: FBT003  # its own signature
        except expat.ExpatError as error:
            if strict and not self.types:
                raise ValueError(f"a part is no XML: {error}") from error

    def _type(self, *_: Any) -> None:
        # ECMA-376-2, 7.2.2: a document type is an error; entities that it declares unfold without end.
        self.types += 1
        raise expat.ExpatError("a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        kind = name.rpartition(":")[2]
        if kind == "c":
            self.cells += 1
        elif kind == "mergeCell":
            self.cells += _area(attributes.get("ref", ""))


def _area(reference: str) -> int:
    match = _RANGE.fullmatch(reference)
    if match is None or match[3] is None:
        return 1
    columns, rows = abs(_number(match[3]) - _number(match[1])), abs(int(match[4]) - int(match[2]))
    return (columns + 1) * (rows + 1)


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
