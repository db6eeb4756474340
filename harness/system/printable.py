"""Values that every output can hold: whole characters, finite numbers, JSON as RFC 8259 has it."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

REPLACEMENT = "\ufffd"
#: What steers whoever shows a text: control characters but tab and newline, marks of direction (UAX #9, 2), marks of
#: lines that only some take for such, and what XML 1.0 (2.2, Char) cannot hold.
_STEERING = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


def visible(value: T) -> T:
    """``value`` as it may be shown: a character that steers terminals or turns lines round is written ``\\uXXXX``.

    The way of writing is that of JSON, so that JSON stays what it was. Goes through values as ``printable`` does; every
    output for people and every document passes here, once, at its edge.
    """
    changed: Any = _changed(value, _steered)
    return value if changed is _SAME else changed


def _steered(text: str) -> Any:
    if _STEERING.search(text) is None:
        return _SAME
    cleaned = _STEERING.sub(_written, text)
    return cleaned if type(text) is str else type(text)(cleaned)


def _written(match: re.Match[str]) -> str:
    char = match[0]
    return REPLACEMENT if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"


def printable(value: T) -> T:
    """``value`` with half surrogates replaced and without numbers that JSON does not have (they become None).

    Goes through mappings, lists, tuples, sets, dataclasses and models; what needs no change is given back as it is.
    """
    changed: Any = _changed(value, _text)
    return value if changed is _SAME else changed


_SAME = object()


def _changed(value: Any, text: Callable[[str], Any]) -> Any:
    """The changed value, or ``_SAME``: most values need none, and are then not copied."""
    if isinstance(value, enum.Enum | bool | int | bytes) or value is None:
        return _SAME
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return _SAME if math.isfinite(value) else None

    def cleaned(child: Any) -> Any:
        changed = _changed(child, text)
        return child if changed is _SAME else changed

    if isinstance(value, dict):
        pairs = [(cleaned(key), cleaned(child)) for key, child in value.items()]
        same = all(a is b and c is d for (a, c), (b, d) in zip(pairs, value.items(), strict=True))
        return _SAME if same else dict(pairs)
    if isinstance(value, list | tuple):
        children = [cleaned(child) for child in value]
        if all(a is b for a, b in zip(children, value, strict=True)):
            return _SAME
        return children if isinstance(value, list) else tuple(children)
    if isinstance(value, set | frozenset):
        members = {cleaned(child) for child in value}
        return _SAME if members == value else type(value)(members)
    if hasattr(type(value), "model_fields"):  # a pydantic model; the library is not loaded for this question
        fields = _fields({name: getattr(value, name) for name in type(value).model_fields}, cleaned)
        return value.model_copy(update=fields) if fields else _SAME
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = _fields({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, cleaned)
        return dataclasses.replace(value, **fields) if fields else _SAME
    return _SAME


def _fields(values: dict[str, Any], cleaned: Callable[[Any], Any]) -> dict[str, Any]:
    children = {name: cleaned(child) for name, child in values.items()}
    return {name: child for name, child in children.items() if child is not values[name]}


def _text(text: str) -> Any:
    if text.isascii():
        return _SAME
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)
    return _SAME


def strict_json(value: Any, **how: Any) -> str:
    """JSON text of ``value`` without NaN and Infinity (null stands there); ``how``: as ``json.dumps`` takes it."""
    return json.dumps(printable(value), allow_nan=False, **{"ensure_ascii": False, **how})


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
