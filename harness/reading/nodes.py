"""Sheets of points of OPC UA: CSV (UTF-8) or XLSX, a row for each variable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DefinitionError, Fault
from harness.model.nodes import NUMBERS, TYPES, WHOLE, NodePoint, held, split_node
from harness.reading.pointsheets import SheetRow, read_sheet, twice
from harness.reading.tables import sheet_fault

#: Columns by their headings in both languages.
HEADINGS: Mapping[str, str] = {
    **{word: word for word in ("name", "node", "type", "unit", "range", "access", "expected", "changes", "history")},
    "名称": "name",
    "节点": "node",
    "类型": "type",
    "单位": "unit",
    "范围": "range",
    "访问": "access",
    "期望值": "expected",
    "变化周期": "changes",
    "历史": "history",
}
NEEDED = ("name", "node", "type")
_HISTORY = {"": False, "no": False, "否": False, "yes": True, "是": True}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
#: Between elements of an array.
BETWEEN = "|"
#: Seconds within which a point changes by itself, at most.
LONGEST = 3600.0


def read_nodes(path: Path, namespace: str = "", warnings: list[Fault] | None = None) -> tuple[NodePoint, ...]:
    """The points of a sheet, in the order of their rows; ``namespace``: the URI of those whose node names none.

    Raises:
        DefinitionError: with every fault of the sheet; line and column are those of the sheet.
    """
    rows, columns, faults = read_sheet(path, HEADINGS, NEEDED, warnings)
    points: list[NodePoint] = []
    for line, cells in rows:
        point = _Row(path, line, columns, cells, faults).point(namespace)
        if point is not None:
            points.append(point)
    faults += twice(path, [(point.line, point.name) for point in points])
    faults += twice(path, [(point.line, point.shown) for point in points], "a second point of this node")
    if faults:
        raise DefinitionError(sorted(faults, key=lambda fault: (fault.line, fault.column)))
    return tuple(points)


class _Row(SheetRow):
    """A row of a point of OPC UA."""

    def point(self, default: str) -> NodePoint | None:
        """The point; None where the row has a fault."""
        before = len(self.faults)
        name, writable = self.name(), self.writable()
        kind = self.choice("type", (*TYPES, *(f"{each}[]" for each in TYPES)), "")
        scalar = kind.removesuffix("[]")
        try:
            namespace, node = split_node(self.text("node"))
        except ValueError:
            expected = "such as nsu=http://example.com/plant;s=Line 1.Temp, ns=2;i=5, or s=Temp"
            self.refuse("node", "no node id", expected=expected)
            namespace = node = ""
        low, high = self.range()
        if self.text("range") and scalar in TYPES and scalar not in NUMBERS:
            self.refuse("range", f"a {scalar} has no range", expected="no range, or a type of numbers")
        if writable and scalar in NUMBERS and not self.text("range"):
            self.refuse("range", "a point that is written has a range", expected="LOW..HIGH, such as 0..100")
        if writable and scalar == "DateTime":
            self.refuse("access", "times are not written", expected="r")
        if self.text("history") not in _HISTORY:
            self.refuse("history", "no such history", expected="yes or no")
        expected_value = self._expected(scalar, array=kind.endswith("[]")) if self.text("expected") else None
        changes = self._changes()
        if changes is not None and self.text("expected"):
            self.refuse("changes", "a point that changes has no expected value", expected="a range, or no changes")
        if len(self.faults) > before:
            return None
        point = NodePoint(
            name=name,
            namespace=namespace or default,
            node=node,
            kind=scalar,
            array=kind.endswith("[]"),
            unit=self.text("unit"),
            low=low,
            high=high,
            expected=expected_value,
            writable=writable,
            changes=changes,
            history=_HISTORY[self.text("history")],
            line=self.line,
        )
        self._reached(point)
        return point if len(self.faults) == before else None

    def _changes(self) -> float | None:
        text = self.text("changes")
        if not text:
            return None
        seconds = self.number("changes", text)
        if seconds is not None and not 0 < seconds <= LONGEST:
            self.refuse("changes", "no such period", expected=f"seconds, more than 0 and at most {LONGEST:g}")
        return seconds

    def _expected(self, kind: str, *, array: bool) -> Any:
        texts = self.text("expected").split(BETWEEN) if array else [self.text("expected")]
        values = [self._value(kind, text.strip()) for text in texts]
        return values if array else values[0]

    def _value(self, kind: str, text: str) -> Any:
        if kind == "String" or kind not in TYPES:
            return text
        try:
            if kind == "Boolean":
                return _TRUTH[text.lower()]
            if kind == "ByteString":
                return bytes.fromhex(text.removeprefix("0x"))
            if kind in WHOLE:
                return held(kind, int(text))
            if kind in NUMBERS and math.isfinite(value := float(text)):
                return held(kind, value)
        except (ValueError, KeyError, OverflowError):
            pass
        forms = {"Boolean": "true or false", "ByteString": "bytes as hexadecimal digits", "DateTime": "none"}
        self.refuse("expected", f"no value of a {kind}", expected=forms.get(kind, f"a number that a {kind} can hold"))
        return None

    def _reached(self, point: NodePoint) -> None:
        """Its limits are such as its type can hold, and its expected value lies between them."""
        for value in (point.low, point.high):
            if value is None:
                continue
            try:
                held(point.kind, value)
            except OverflowError as error:
                self.refuse("range", str(error), expected="limits that the type can hold")
                return
        if point.expected is not None and point.low is not None and point.wrong(point.expected):
            self.refuse("expected", "the expected value lies out of the range", expected=self.text("range"))


def unwritten(path: Path, point: NodePoint) -> Fault:
    """That a point has a history which nothing could put into it."""
    return sheet_fault(
        path,
        point.line,
        0,
        "the history of a point that neither changes nor is written could not be tried",
        expected="access rw, or changes",
        found=point.name,
    )
