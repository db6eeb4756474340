"""What an ELF file offers to the objects that are loaded with it: System V ABI, chapters 4 and 5."""

from __future__ import annotations

import struct

from harness.scan.limits import NAME, Unreadable, Work

_SHT_DYNSYM = 11
#: At most so many symbols of one file; the largest libraries have some hundred thousand.
MAX_SYMBOLS = 1_000_000


def exported_symbols(data: bytes) -> set[str]:
    """Names of the defined dynamic symbols of an ELF file; empty for anything else."""
    if data[:4] != b"\x7fELF" or len(data) < 64:
        return set()
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    try:
        return _exported(data, order, wide=wide)
    except (struct.error, ValueError, IndexError, OverflowError, Unreadable):
        return set()  # cut off, or no file of a linker


def _exported(data: bytes, order: str, *, wide: bool) -> set[str]:
    at, entry, count = (
        struct.unpack_from(f"{order}Q10xHH", data, 40) if wide else struct.unpack_from(f"{order}I10xHH", data, 32)
    )
    layout = struct.Struct(f"{order}IIQQQQIIQQ" if wide else f"{order}IIIIIIIIII")
    sections = [layout.unpack_from(data, at + index * entry) for index in range(count)]
    names: set[str] = set()
    work = Work.for_size(len(data))
    for _, kind, _, _, offset, size, link, _, _, width in sections:
        if kind != _SHT_DYNSYM or not width:
            continue
        table, end = sections[link][4], sections[link][4] + sections[link][5]
        work.spend(min(size, width * MAX_SYMBOLS) / width)
        strings = data[table:end]
        for symbol in range(offset, offset + min(size, width * MAX_SYMBOLS), width):
            name, section = struct.unpack_from(f"{order}IxxH" if wide else f"{order}I10xH", data, symbol)
            if section and name:
                names.add(strings[name : strings.index(b"\0", name, name + NAME)].decode(errors="replace"))
    return names
