"""Whether a qcow2 is whole: what its tables lead to lies within the file (docs/interop/qcow2.rst of QEMU)."""

from __future__ import annotations

import array
import struct
import sys
from typing import IO

_HEAD = struct.Struct(">4sIQIIQIIQQIIQ")
_CLUSTER_BITS = range(9, 22)
#: Bits of an entry of a table that are the place of a cluster, aligned to 512 bytes.
_PLACE = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
#: Incompatible feature: entries of second tables are twice as long.
_EXTENDED = 1 << 4
#: The most entries of the first table, as QEMU has it.
_MOST = (32 << 20) // 8


def lacks(file: IO[bytes], size: int) -> str:
    """What of a qcow2 of so many bytes is not there, in words; empty where all is. Damage is said so, too."""
    file.seek(0)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return "its header is cut off"
    _, version, _, _, bits, _, _, length, at, counts, clusters, _, _ = _HEAD.unpack(head)
    if version not in (2, 3) or bits not in _CLUSTER_BITS or length > _MOST:
        return f"its header is damaged, or of a version that is not known ({version})"
    if at + 8 * length > size or counts + (clusters << bits) > size:
        return "its tables lie behind its end: it is cut off"
    step = 2 if _features(file, version) & _EXTENDED else 1  # each entry has a map of its parts behind it
    for place in sorted({entry & _PLACE for entry in _table(file, at, length)} - {0}):
        if place % (1 << bits):
            return "a table of it is not where a cluster begins: it is damaged"
        if place + (1 << bits) > size:
            return "a table lies behind its end: it is cut off"
        if any(_place(entry, bits) >= size for entry in _table(file, place, (1 << bits) // 8)[::step]):
            return "its data lie behind its end: it is cut off"
    return ""


def _features(file: IO[bytes], version: int) -> int:
    """What a reader must know to read it: none in version 2."""
    file.seek(72)
    return int.from_bytes(file.read(8)) if version == 3 else 0


def _place(entry: int, bits: int) -> int:
    """Where a cluster begins; 0 where there is none."""
    if entry & _COMPRESSED:
        return entry & ((1 << (62 - (bits - 8))) - 1)
    return entry & _PLACE


def _table(file: IO[bytes], at: int, length: int) -> array.array[int]:
    file.seek(at)
    data = file.read(8 * length)
    table = array.array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        table.byteswap()
    return table
