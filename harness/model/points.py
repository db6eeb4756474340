"""Points of an interface of the field: values with a name, an address, a type and a range; and how registers hold them.

Modbus has registers of 16 bits, each big-endian (MODBUS Application Protocol Specification V1.1b3, 4.2). Of values of
several registers it says nothing: makers order them as they like, so a point names its order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Area = Literal["coil", "discrete", "input", "holding"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
AREAS: tuple[Area, ...] = get_args(Area)
ORDERS: tuple[Order, ...] = get_args(Order)
#: Areas of single bits; the others have registers.
BITS: tuple[Area, ...] = ("coil", "discrete")
#: Areas that can be written at all.
WRITABLE: tuple[Area, ...] = ("coil", "holding")
#: Type -> how many registers it has, and its form for ``struct``.
TYPES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "bool": (1, ""),
        "int16": (1, "h"),
        "uint16": (1, "H"),
        "int32": (2, "i"),
        "uint32": (2, "I"),
        "int64": (4, "q"),
        "uint64": (4, "Q"),
        "float32": (2, "f"),
        "float64": (4, "d"),
    }
)
#: What two values may differ by and be the same, relative to their size: what a float32 keeps.
CLOSE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point as its row declares it. What a register holds, times ``scale``, is its value.

    ``low``, ``high``: its range; ``expected``: what it must read when it is tested. ``line``: of the sheet, from 1.
    """

    name: str
    area: Area
    address: int
    kind: str
    order: Order = "ABCD"
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    writable: bool = False
    line: int = 0

    @property
    def size(self) -> int:
        """How many registers, or bits, it has."""
        return TYPES[self.kind][0]

    @property
    def judged(self) -> bool:
        """Whether a value can be told from a wrong one at all."""
        return self.low is not None or self.expected is not None

    @property
    def whole(self) -> bool:
        """Whether its registers hold a whole number."""
        return not self.kind.startswith("float")

    def value_of(self, registers: Sequence[int], order: Order | None = None) -> float:
        """The value that registers (or a bit) hold; ``order``: in place of its own."""
        if self.area in BITS:
            return float(bool(registers[0]))
        data = _ordered(b"".join(each.to_bytes(2, "big") for each in registers), order or self.order)
        (raw,) = struct.unpack(f">{TYPES[self.kind][1]}", data)
        return float(raw * self.scale)

    def registers_of(self, value: float) -> list[int]:
        """The registers (or the bit) that hold a value, rounded to what they can hold.

        Raises:
            OverflowError: the type does not reach so far.
        """
        if self.area in BITS:
            return [int(bool(value))]
        raw: float = value / self.scale
        try:
            data = struct.pack(f">{TYPES[self.kind][1]}", round(raw) if self.whole else raw)
        except (struct.error, ValueError) as error:  # infinity and NaN are no whole numbers
            raise OverflowError(f"{value:g} is beyond {self.kind} with scale {self.scale:g}") from error
        data = _ordered(data, self.order)
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def alike(self, value: float, other: float) -> bool:
        """Whether two values are the same within what a register and a float32 tell apart."""
        if math.isnan(value) or math.isnan(other):
            return False
        step = abs(self.scale) / 2 if self.whole else 0.0
        return abs(value - other) <= max(step, CLOSE * max(abs(value), abs(other)))

    def wrong(self, value: float) -> str:
        """Why a value cannot be right by what the point declares, in words; empty where nothing speaks against it."""
        if self.expected is not None and not self.alike(value, self.expected):
            return f"{value:g}, expected {self.expected:g}"
        if self.low is not None and self.high is not None:
            inside = self.low <= value <= self.high or self.alike(value, self.low) or self.alike(value, self.high)
            if not inside:
                return f"{value:g}, out of {self.low:g}..{self.high:g}"
        return ""


def _ordered(data: bytes, order: Order) -> bytes:
    """Bytes of a value between big-endian and an order; the same way back."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)
