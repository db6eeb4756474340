"""Sheets of points beside an application: CSV (UTF-8) or XLSX, a row for each point of an interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from harness.errors import DefinitionError, Fault
from harness.model.definitions.interface import FunctionCode
from harness.model.points import AREAS, BITS, ORDERS, TYPES, WRITABLE, Area, Order, Point
from harness.reading.pointsheets import SheetRow, read_sheet, twice
from harness.reading.source import Loc, Source
from harness.reading.tables import sheet_fault

#: Columns by their headings in both languages.
HEADINGS: Mapping[str, str] = {
    **{word: word for word in ("name", "area", "address", "type", "scale", "range", "access", "order", "expected")},
    "名称": "name",
    "区": "area",
    "地址": "address",
    "类型": "type",
    "系数": "scale",
    "范围": "range",
    "访问": "access",
    "字节序": "order",
    "期望值": "expected",
}
NEEDED = ("name", "area", "address", "type")
#: Words of cells that stand for another.
_AREAS = {"线圈": "coil", "离散输入": "discrete", "输入寄存器": "input", "保持寄存器": "holding"}
#: Area -> the function code that reads it; and those that write it (MODBUS Application Protocol V1.1b3, 6).
READS: Mapping[Area, FunctionCode] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITES: Mapping[Area, tuple[FunctionCode, ...]] = {"coil": (5, 15), "holding": (6, 16, 22, 23)}


def read_points(path: Path, order: Order = "ABCD", warnings: list[Fault] | None = None) -> tuple[Point, ...]:
    """The points of a sheet, in the order of their rows; ``order``: of those whose row says nothing.

    Raises:
        DefinitionError: with every fault of the sheet; line and column are those of the sheet.
    """
    rows, columns, faults = read_sheet(path, HEADINGS, NEEDED, warnings)
    points: list[Point] = []
    for line, cells in rows:
        row = _Row(path, line, columns, cells, faults)
        if (point := row.point(order)) is not None:
            points.append(point)
    faults += twice(path, [(point.line, point.name) for point in points])
    faults += _overlaps(path, points)
    if faults:
        raise DefinitionError(sorted(faults, key=lambda fault: (fault.line, fault.column)))
    return tuple(points)


def functions_of(functions: tuple[FunctionCode, ...], points: Iterable[Point]) -> tuple[FunctionCode, ...]:
    """Function codes of an interface: those that it declares, or those that its points need."""
    if functions:
        return functions
    codes: set[FunctionCode] = set()
    for point in points:
        codes.add(READS[point.area])
        if point.writable:
            codes.add(5 if point.area == "coil" else 6 if point.size == 1 else 16)
    return tuple(sorted(codes))


def unserved(
    source: Source, loc: Loc, interface: Mapping[str, Any], path: Path, points: tuple[Point, ...]
) -> Iterator[Fault]:
    """Points that no declared function reads or writes, and functions that write where no point may be written."""
    codes = interface.get("functions") or ()
    if not codes:
        return
    for point in points:
        if READS[point.area] not in codes:
            expected = f"function {READS[point.area]} in interfaces.{loc[-1]}.functions, or no such point"
            message = f"no declared function reads an area of this kind: {point.area}"
            yield sheet_fault(path, point.line, 0, message, expected=expected, found=point.name)
        if point.writable and not {*_writers(point)} & {*codes}:
            ways = " or ".join(str(code) for code in _writers(point))
            message = f"no declared function writes this point: {point.name}"
            yield sheet_fault(path, point.line, 0, message, expected=f"function {ways}, or access r")
    for index, code in enumerate(codes):
        if code in {*WRITES["coil"], *WRITES["holding"]} and not any(tries(code, point) for point in points):
            area = "a coil" if code in WRITES["coil"] else "a holding register"
            yield source.fault(
                (*loc, "functions", index),
                f"function {code} writes, and no point may be written with it, so it could not be tried",
                expected=f"a point of {area} with access rw{' and one register' if code in (6, 22) else ''}",
                found=str(code),
            )


def tries(code: int, point: Point) -> bool:
    """Whether a point may be written, and can be with one request of a function."""
    return point.writable and code in _writers(point, masks=True)


def _writers(point: Point, *, masks: bool = False) -> tuple[FunctionCode, ...]:
    """Functions that write a point; ``masks``: also those that write it together with something else."""
    if point.area == "coil":
        return (5, 15)
    if point.size > 1:
        return (16, 23) if masks else (16,)
    return (6, 16, 22, 23) if masks else (6, 16)


class _Row(SheetRow):
    """A row of a point of Modbus."""

    def point(self, order: Order) -> Point | None:
        """The point; None where the row has a fault."""
        before = len(self.faults)
        name = self.name()
        area = self.choice("area", AREAS, "", _AREAS)
        kind = self.choice("type", TYPES, "")
        own = self.choice("order", ORDERS, order)
        if area in AREAS and kind in TYPES and (area in BITS) != (kind == "bool"):
            fitting = "bool" if area in BITS else ", ".join(word for word in TYPES if word != "bool")
            self.refuse("type", f"a {area} holds no {kind}", expected=fitting)
        writable = self.writable()
        if writable and area in AREAS and area not in WRITABLE:
            self.refuse("access", f"nothing writes an area of this kind: {area}", expected="r")
        scale = self.number("scale", self.text("scale") or "1")
        if scale == 0:
            self.refuse("scale", "with scale 0 every value is 0", expected="another number")
        expected = self.number("expected", self.text("expected")) if self.text("expected") else None
        low, high = self.range()
        address = self._address(TYPES.get(kind, (1, ""))[0])
        if len(self.faults) > before or address is None or scale is None:
            return None
        point = Point(
            name=name,
            area=cast(Area, area),
            address=address,
            kind=kind,
            order=cast(Order, own),
            scale=scale,
            low=low,
            high=high,
            expected=expected,
            writable=writable,
            line=self.line,
        )
        self._reached(point)
        return point if len(self.faults) == before else None

    def _address(self, size: int) -> int | None:
        text = self.text("address")
        try:
            address = int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            address = -1
        if 0 <= address <= 0x10000 - size:
            return address
        expected = "a number from 0 to 65535 as it is sent (0 for 40001), and all its registers below 65536"
        self.refuse("address", "no address", expected=expected)
        return None

    def _reached(self, point: Point) -> None:
        """Its limits and its expected value are such as its type can hold."""
        given = {"range": (point.low, point.high), "expected": (point.expected,)}
        for key, values in given.items():
            for value in values:
                if value is None:
                    continue
                try:
                    point.registers_of(value)
                except OverflowError as error:
                    self.refuse(key, str(error), expected="a value that the type can hold")
                    break
        if point.writable and point.low is None and point.area == "holding":
            self.refuse("range", "a point that is written has a range", expected="LOW..HIGH, such as 0..100")
        if point.expected is not None and point.low is not None and point.wrong(point.expected):
            self.refuse("expected", "the expected value lies out of the range", expected=self.text("range"))


def _overlaps(path: Path, points: list[Point]) -> Iterator[Fault]:
    """Points that share a register or bit with one before them."""
    for area in AREAS:
        last: Point | None = None
        for point in sorted((each for each in points if each.area == area), key=lambda each: (each.address, each.line)):
            if last is not None and point.address < last.address + last.size:
                message = f"its address lies in {last.name} (line {last.line})"
                expected = f"an address from {last.address + last.size} on"
                yield sheet_fault(
                    path, point.line, 0, message, expected=expected, found=f"{point.name}: {point.address}"
                )
            if last is None or point.address + point.size > last.address + last.size:
                last = point
