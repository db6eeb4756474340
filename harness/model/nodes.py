"""Points of OPC UA: variables of an address space by their node ids, with a built-in type and a range.

Types and the text of a node id are those of OPC 10000-6 (5.1.2, 5.1.12); AccessLevel and ValueRank of OPC 10000-3.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.model.points import CLOSE

#: Whole numbers -> bits, and whether there is a sign (OPC 10000-6, table 1).
WHOLE: Mapping[str, tuple[int, bool]] = MappingProxyType(
    {
        "SByte": (8, True),
        "Byte": (8, False),
        "Int16": (16, True),
        "UInt16": (16, False),
        "Int32": (32, True),
        "UInt32": (32, False),
        "Int64": (64, True),
        "UInt64": (64, False),
    }
)
NUMBERS: tuple[str, ...] = (*WHOLE, "Float", "Double")
#: Types that a sheet may name; each of them with ``[]`` behind it for an array of one dimension.
TYPES: tuple[str, ...] = ("Boolean", *NUMBERS, "String", "ByteString", "DateTime")
#: What two values may differ by and be the same, relative to their size.
CLOSENESS: Mapping[str, float] = MappingProxyType({"Float": CLOSE, "Double": 1e-12})
#: What is written into texts and bytes: characters beyond the first plane, nothing, every byte.
TEXTS = ("信创/温度𠮷", "", "line one\nline two")
BYTES = (bytes(range(256)), b"", "压力".encode())
#: Elements of an array that is written.
LONG = 100
#: Characters of a value that words show.
SHOWN = 60

_NODE = re.compile(
    r"((?P<index>ns=\d{1,5};)|(?P<uri>nsu=[^;\x00-\x1f]+;))?"
    r"(i=\d{1,10}|s=[^\x00-\x1f]{1,4096}|g=[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|b=[A-Za-z0-9+/]+={0,2})"
)


@dataclass(frozen=True, kw_only=True)
class NodePoint:
    """A variable as its row declares it.

    ``node``: its identifier alone (``s=Line.Temp``); ``namespace``: a URI, or an index as digits. ``unit``: the text of
    its EngineeringUnits. ``low``, ``high``: of its value, or of each element. ``expected``: what it must read, a list
    for an array. ``changes``: seconds within which it changes by itself. ``line``: of the sheet, from 1.
    """

    name: str
    namespace: str
    node: str
    kind: str
    array: bool = False
    unit: str = ""
    low: float | None = None
    high: float | None = None
    expected: Any = None
    writable: bool = False
    changes: float | None = None
    history: bool = False
    line: int = 0

    @property
    def shown(self) -> str:
        """Its node id in words."""
        if not self.namespace or self.namespace == "0":
            return self.node
        return f"{'ns' if self.namespace.isdecimal() else 'nsu'}={self.namespace};{self.node}"

    @property
    def type(self) -> str:
        """Its type as a sheet has it."""
        return f"{self.kind}[]" if self.array else self.kind

    @property
    def judged(self) -> bool:
        """Whether a value can be told from a wrong one at all."""
        return self.low is not None or self.expected is not None

    def alike(self, value: Any, other: Any) -> bool:
        """Whether two values are the same, within what their type keeps. A null text or array is as an empty one:
        few products tell them apart."""
        if (self.array or self.kind in ("String", "ByteString")) and _is_empty(value) and _is_empty(other):
            return True
        if self.array:
            if not isinstance(value, list) or not isinstance(other, list) or len(value) != len(other):
                return False
            return all(self._same(*pair) for pair in zip(value, other, strict=True))
        return self._same(value, other)

    def _same(self, value: Any, other: Any) -> bool:
        if self.kind in NUMBERS and _is_number(value) and _is_number(other):
            close = CLOSENESS[self.kind] * max(abs(value), abs(other)) if self.kind not in WHOLE else 0.0
            return bool(abs(value - other) <= close)
        return bool(value == other and type(value) is type(other))

    def wrong(self, value: Any) -> str:
        """Why a value cannot be right by what the point declares, in words; empty where nothing speaks against it."""
        if self.expected is not None and not self.alike(value, self.expected):
            return f"{in_words(value)}, expected {in_words(self.expected)}"
        if self.low is None or self.high is None:
            return ""
        for each in value if isinstance(value, list) else [value]:
            if not _is_number(each) or not self.low - self._slack(each) <= each <= self.high + self._slack(each):
                return f"{in_words(each)}, out of {self.low:g}..{self.high:g}"
        return ""

    def _slack(self, value: float) -> float:
        return 0.0 if self.kind in WHOLE else CLOSENESS[self.kind] * abs(value)

    def values(self, length: int | None = None) -> list[Any]:
        """What is written to it: both ends of its range, or what is telling of its type; none for a DateTime.

        ``length``: of an array that has just this one; None where it may have any.
        """
        ones = self._ones()
        if not self.array or not ones:
            return ones
        if length is not None:
            return [[element] * length for element in ones]
        return [[ones[0]] * LONG, [*ones], []]

    def _ones(self) -> list[Any]:
        if self.kind == "Boolean":
            return [True, False]
        if self.kind == "String":
            return [*TEXTS]
        if self.kind == "ByteString":
            return [*BYTES]
        if self.low is None or self.high is None:
            return []
        if self.kind in WHOLE:
            return [*dict.fromkeys((math.ceil(self.low), math.floor(self.high)))]
        return [*dict.fromkeys(held(self.kind, value) for value in (self.low, self.high))]


def held(kind: str, value: float) -> float:
    """A number as its type holds it. Raises OverflowError: the type does not reach so far."""
    if kind in WHOLE:
        bits, signed = WHOLE[kind]
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if value != int(value) or not least <= value <= most:
            raise OverflowError(f"{value:g} is no {kind}")
        return int(value)
    if kind == "Float":
        try:
            (kept,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError as error:
            raise OverflowError(f"{value:g} is beyond a Float") from error
        return float(kept)
    return float(value)


def split_node(text: str) -> tuple[str, str]:
    """Namespace (a URI, or an index as digits; empty where none is named) and identifier of the text of a node id.

    Raises:
        ValueError: it is none (OPC 10000-6, 5.1.12).
    """
    match = _NODE.fullmatch(text)
    if match is None or (match["index"] and int(match["index"][3:-1]) > 0xFFFF):
        raise ValueError(f"no node id: {text}")
    head = match["index"] or match["uri"] or ""
    namespace = head[len("ns=") : -1] if match["index"] else head[len("nsu=") : -1]
    identifier = text[len(head) :]
    if identifier.startswith("i=") and int(identifier[2:]) > 0xFFFFFFFF:
        raise ValueError(f"no node id: {text}")
    return (str(int(namespace)) if match["index"] else namespace), identifier


def in_words(value: Any) -> str:
    """A value as words show it, of bounded length."""
    if isinstance(value, bytes):
        text = f"0x{value.hex()}"
    elif isinstance(value, float):
        text = f"{value:.9g}"
    else:
        text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, bytes, list)) and not value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
