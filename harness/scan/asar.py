"""Archives of Electron programs (asar): a header in JSON, then the files one after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

from harness.scan.limits import Budget, Unreadable
from harness.scan.streams import Part
from harness.scan.walking import Entry, Walk, Where
from harness.system.canonical import read_json

MAX_HEADER, MAX_DEPTH = 16 << 20, 64


def read_asar(walk: Walk, file: IO[bytes], size: int, where: Where, budget: Budget) -> Iterator[Entry]:
    """Members of an archive; those that are marked unpacked lie beside it as files.

    Raises:
        Unreadable: its header is damaged.
    """
    _, whole, _, length = struct.unpack("<IIII", file.read(16))
    if length > min(MAX_HEADER, size) or whole > size:
        raise Unreadable("the header of the asar archive is damaged")
    try:
        header = read_json(file.read(length))
        members = list(_members(header, ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"the header of the asar archive is damaged: {error}") from error
    own = where.as_unit("zip")
    for name, offset, length in members:
        walk.check_name(name, f"{where.place}!/{name}")
        if offset < 0 or length < 0 or 8 + whole + offset + length > size:
            raise Unreadable("the asar archive is cut off")
        file.seek(8 + whole + offset)
        yield from walk.member(Part(file, length), name, max(1, length), own, budget)  # type: ignore[arg-type]


def _members(folder: dict[str, Any], above: str) -> Iterator[tuple[str, int, int]]:
    """Name, offset behind the header and size of each file."""
    if above.count("/") > MAX_DEPTH:
        raise ValueError("folders are nested too deeply")
    for name, value in folder["files"].items():
        path = f"{above}{name}"
        if "files" in value:
            yield from _members(value, f"{path}/")
        elif "offset" in value and not value.get("unpacked"):
            yield path, int(value["offset"]), int(value["size"])
