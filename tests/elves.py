"""Small ELF files made to order: what a rule's example says of one, in bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

MACHINES = {
    "x86_64": 62,
    "i386": 3,
    "aarch64": 183,
    "loongarch64": 258,
    "riscv64": 243,
    "mips64": 8,
    "sw_64": 0x9916,
    "bpf": 247,
}
KINDS = {"object": 1, "executable": 2, "shared": 3}
BASE = 0x10000


def elf(
    *,
    machine: str,
    kind: str = "shared",
    interpreter: str = "",
    needed: Sequence[str] = (),
    soname: str = "",
    versions: Mapping[str, Sequence[str]] | None = None,
    alignment: int = 65536,
    x86_level: int = 0,
    code: str = "",
    words: Sequence[int] = (),
    rodata: str = "",
    symbols: Sequence[str] = (),
    flags: int | None = None,
    sections: Sequence[str] = (),
    cut: int = 0,
    debug: bool = False,
    abi_kernel: tuple[int, int] | None = None,
) -> bytes:
    """A 64-bit little-endian ELF file. ``code``: hex; ``words``: of 32 bits; ``cut``: so many bytes less at its end."""
    flags = {"loongarch64": 0x43}.get(machine, 0) if flags is None else flags
    text = bytes.fromhex(code.replace(" ", "")) + b"".join(struct.pack("<I", word) for word in words)
    versions = dict(versions or {})
    names = bytearray(b"\0")

    def name(word: str) -> int:
        at = names.find(b"\0" + word.encode() + b"\0")
        if at >= 0:
            return at + 1
        names.extend(word.encode() + b"\0")
        return len(names) - len(word) - 1

    libraries = [*needed, *(one for one in versions if one not in needed)]
    for symbol in symbols:
        name(symbol)
    tags = [(1, name(one)) for one in libraries] + ([(14, name(soname))] if soname else [])
    needs = b""
    for i, (library, wanted) in enumerate(versions.items()):
        more = b"".join(
            struct.pack("<IHHII", 0, 0, j + 2, name(v), 16 if j + 1 < len(wanted) else 0) for j, v in enumerate(wanted)
        )
        last = i + 1 == len(versions)
        needs += struct.pack("<HHIII", 1, len(wanted), name(library), 16, 0 if last else 16 + len(more)) + more
    note = b""
    if x86_level:
        level = sum(1 << one for one in range(x86_level))
        note = struct.pack("<III4sIIII", 4, 16, 5, b"GNU\0", 0xC0008002, 4, level, 0)
    if abi_kernel is not None:
        note += struct.pack("<III4sIIII", 4, 16, 1, b"GNU\0", 0, *abi_kernel, 0)
    interp = interpreter.encode() + b"\0" if interpreter else b""
    parts: dict[str, bytes] = {
        ".text": text or b"\0" * 16,
        ".rodata": rodata.encode() or b"\0",
        ".dynstr": bytes(names),
        ".gnu.version_r": needs,
        ".note": note,
        ".interp": interp,
    }
    headers = [
        kind_ for kind_, there in ((1, True), (2, kind != "object"), (3, bool(interp)), (4, bool(note))) if there
    ]
    at = 64 + 56 * len(headers)
    offsets = {}
    for part, data in parts.items():
        at += -at % 16
        offsets[part] = at
        at += len(data)
    at += -at % 16
    dynamic_at = at
    tags += [(5, BASE + offsets[".dynstr"]), (10, len(names))]
    if needs:
        tags += [(0x6FFFFFFE, BASE + offsets[".gnu.version_r"]), (0x6FFFFFFF, len(versions))]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    at += len(dynamic)
    table = [
        ("", 0, 0, 0, 0),
        (".text", 1, 6, offsets[".text"], len(parts[".text"])),
        (".rodata", 1, 2, offsets[".rodata"], len(parts[".rodata"])),
        *((one, 1, 2, offsets[".rodata"], 1) for one in sections),
    ]
    if debug:
        table[1] = (".text", 8, 6, offsets[".text"], 4096)
    strings = b"\0" + b"".join(word.encode() + b"\0" for word, *_ in table if word) + b".shstrtab\0"
    strings_at = at
    at += len(strings) + -(at + len(strings)) % 8
    table.append((".shstrtab", 3, 0, strings_at, len(strings)))
    rows = b"".join(
        struct.pack(
            "<IIQQQQIIQQ",
            strings.find(b"\0" + word.encode() + b"\0") + 1 if word else 0,
            type_,
            flag,
            BASE + offset if flag & 2 else 0,
            offset,
            size,
            0,
            0,
            1,
            0,
        )
        for word, type_, flag, offset, size in table
    )
    total = at + len(rows)
    place = {
        1: (0, total, 5, alignment),
        2: (dynamic_at, len(dynamic), 6, 8),
        3: (offsets[".interp"], len(interp), 4, 1),
        4: (offsets[".note"], len(note), 4, 8),
    }
    programs = b"".join(
        struct.pack(
            "<IIQQQQQQ",
            one,
            place[one][2],
            place[one][0],
            BASE + place[one][0],
            0,
            place[one][1],
            place[one][1],
            place[one][3],
        )
        for one in headers
    )
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        ident,
        KINDS[kind],
        MACHINES[machine],
        1,
        BASE + offsets[".text"],
        64,
        at,
        flags,
        64,
        56,
        len(headers),
        64,
        len(table),
        len(table) - 1,
    )
    data = bytearray(total)
    data[0:64], data[64 : 64 + len(programs)] = head, programs
    for part, content in parts.items():
        data[offsets[part] : offsets[part] + len(content)] = content
    data[dynamic_at : dynamic_at + len(dynamic)] = dynamic
    data[strings_at : strings_at + len(strings)] = strings
    data[at:total] = rows
    return bytes(data[: total - cut] if cut else data)


def of(example: Mapping[str, Any]) -> bytes:
    """As an example of a rule says."""
    return elf(**example)
