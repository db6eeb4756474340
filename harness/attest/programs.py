"""The architecture that a program is built for, by its ELF header (System V ABI, gabi 4.1: e_ident, e_machine)."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

#: e_machine: name.
MACHINES = {
    3: "i386",
    8: "mips",
    20: "powerpc",
    21: "powerpc64",
    22: "s390x",
    40: "arm",
    50: "ia64",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
    0x9026: "alpha",
}
#: What programs of a target may be built for. Parts differ in whether they run 32-bit ARM: it is not taken for granted.
OWN = {"x86_64": {"x86_64", "i386"}, "aarch64": {"aarch64"}, "loongarch64": {"loongarch"}}
_INTERPRETER = 3
_MOST_HEADERS = 128


@dataclass(frozen=True, kw_only=True)
class Program:
    """An ELF file; ``loader`` is the path of its ELF interpreter, empty where it is linked statically."""

    machine: str
    loader: str = ""

    def belongs(self, architecture: str) -> bool:
        """Whether a target of that architecture (our name) runs it by itself."""
        return self.machine in OWN.get(architecture, {architecture})


def read_program(file: int) -> Program | None:
    """The program in an open file; None where it is no ELF file.

    Raises:
        OSError: the file cannot be read.
    """
    head = os.pread(file, 64, 0)
    program = read_header(head)
    if program is None or (head[4] == 2 and len(head) < 64):
        return program
    order, wide = "<" if head[5] == 1 else ">", head[4] == 2
    (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    loader = _loader(file, order, table, size, min(count, _MOST_HEADERS), wide=wide)
    return Program(machine=program.machine, loader=loader)


def read_header(head: bytes) -> Program | None:
    """The program whose file begins with ``head`` (64 bytes suffice), without its loader; None for no ELF file."""
    if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order = "<" if head[5] == 1 else ">"
    (code,) = struct.unpack_from(f"{order}H", head, 18)
    return Program(machine=MACHINES.get(code, f"ELF machine {code}"))


def _loader(file: int, order: str, table: int, size: int, count: int, *, wide: bool) -> str:
    shape = struct.Struct(f"{order}IIQQQQ" if wide else f"{order}IIIII")
    if size < shape.size:
        return ""
    for number in range(count):
        entry = os.pread(file, shape.size, table + number * size)
        if len(entry) < shape.size:
            return ""
        fields = shape.unpack(entry)
        if fields[0] == _INTERPRETER:
            offset, length = (fields[2], fields[5]) if wide else (fields[1], fields[4])
            return os.pread(file, min(length, 4096), offset).rstrip(b"\0").decode(errors="replace")
    return ""
