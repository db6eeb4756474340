"""JSON as it comes from anybody, its canonical form, and its digest: the only place that serializes what is signed or
compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, in UTF-8; half surrogates become question marks.

    Raises:
        ValueError: it is nested too deep.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("a value that is nested too deep") from error
    return text.encode("utf-8", "replace")


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of the canonical form of ``value``."""
    return hashlib.sha256(canonical(value)).hexdigest()


def read_json(text: str | bytes, *, number: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text of anybody (RFC 8259; section 9 allows a limit of depth).

    ``number``: makes a value of a number as it is written; it may raise ValueError.

    Raises:
        ValueError: it is no JSON, or is nested so deep that Python's own limit of recursion ends the reading.
    """
    try:
        return json.loads(text, parse_float=number, parse_int=number, parse_constant=number)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deep") from error
