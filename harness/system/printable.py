"""Values that every output can hold: whole characters, finite numbers, JSON as RFC 8259 has it."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from typing import Any, TypeVar

T = TypeVar("T")

#: What XML 1.0 (2.2, Char) cannot hold.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REPLACEMENT = "\ufffd"


def printable(value: T) -> T:
    """``value`` with half surrogates replaced and without numbers that JSON does not have (they become None).

    Goes through mappings, lists, tuples, sets, dataclasses and models; what needs no change is given back as it is.
    """
    changed: Any = _changed(value)
    return value if changed is _SAME else changed


_SAME = object()


def _changed(value: Any) -> Any:
    """The changed value, or ``_SAME``: most values need none, and are then not copied."""
    if isinstance(value, enum.Enum | bool | int | bytes) or value is None:
        return _SAME
    if isinstance(value, str):
        return _SAME if value.isascii() else _text(value)
    if isinstance(value, float):
        return _SAME if math.isfinite(value) else None
    if isinstance(value, dict):
        pairs = [(printable(key), printable(child)) for key, child in value.items()]
        same = all(a is b and c is d for (a, c), (b, d) in zip(pairs, value.items(), strict=True))
        return _SAME if same else dict(pairs)
    if isinstance(value, list | tuple):
        children = [printable(child) for child in value]
        if all(a is b for a, b in zip(children, value, strict=True)):
            return _SAME
        return children if isinstance(value, list) else tuple(children)
    if isinstance(value, set | frozenset):
        members = {printable(child) for child in value}
        return _SAME if members == value else type(value)(members)
    if hasattr(type(value), "model_fields"):  # a pydantic model; the library is not loaded for this question
        fields = _fields({name: getattr(value, name) for name in type(value).model_fields})
        return value.model_copy(update=fields) if fields else _SAME
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = _fields({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        return dataclasses.replace(value, **fields) if fields else _SAME
    return _SAME


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    cleaned = {name: printable(child) for name, child in values.items()}
    return {name: child for name, child in cleaned.items() if child is not values[name]}


def _text(text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)
    return _SAME


def strict_json(value: Any, **how: Any) -> str:
    """JSON text of ``value`` without NaN and Infinity (null stands there); ``how``: as ``json.dumps`` takes it."""
    return json.dumps(printable(value), allow_nan=False, **{"ensure_ascii": False, **how})


def xml_text(text: str) -> str:
    """``text`` with what XML cannot hold shown as the replacement character."""
    return _NOT_XML.sub(REPLACEMENT, text)


def number_text(value: float) -> str:
    """A number with six significant digits, as every output shows it."""
    return f"{value:.6g}"


def one_line(text: str, longest: int = 80) -> str:
    """The first line that says something, cut with ``…``; where more is left out, ``…`` says so too."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    first = lines[0]
    return first if len(lines) == 1 and len(first) <= longest else first[: longest - 1] + "…"
