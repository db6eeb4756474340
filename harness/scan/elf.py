"""What an ELF file says of itself: gABI headers, dynamic section, symbol versions, notes.

An own reader, because the rest of the scan stands and falls with its speed (docs/decisions/0012): only what the rules
need is read, straight from the mapped file, and nothing is trusted: an offset that leads out of the file ends the part
that it belongs to, not the scan.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.scan.limits import Work
from harness.scan.opaque import Buffer

#: e_machine -> architecture as ``uname -m`` prints it. What is not here is no CPU that applications run on.
MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
    0x9916: "sw_64",
}
_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,9}", re.ASCII)
TYPES = {1: "object", 2: "executable", 3: "shared", 4: "core"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_SHT_RELA, _SHT_NOBITS, _SHT_DYNSYM, _DT_VERNEED = 4, 8, 11, 0x6FFFFFFE
_GNU_ABI_TAG, _GNU_PROPERTY, _X86_ISA_1_NEEDED = 1, 5, 0xC0008002
_IFUNC = 10
#: Relocation that asks a function which of several is called (ELF for the Arm 64-bit Architecture, table 4-17; x86-64
#: psABI, table 4.10; LoongArch ELF psABI): a static program has no dynamic symbols for that.
_IRELATIVE = {"aarch64": 1032, "x86_64": 37, "loongarch64": 12}
#: Bits of GNU_PROPERTY_X86_ISA_1_NEEDED -> level of the x86-64 psABI.
_LEVELS = {1: 1, 2: 2, 4: 3, 8: 4}
MAX_HEADERS = 65_536
_AR_HEADER = 60  #: bytes of the header of a member of a static library
#: Bytes of a table or of code that are gone over as fast as one entry.
_BYTES_A_STEP = 8
MAX_SYMBOLS = 4_000_000


@dataclass(frozen=True)
class Section:
    """A part of the file: name (empty where section headers are gone), place in the file, address."""

    name: str
    offset: int
    size: int
    address: int


@dataclass(kw_only=True)
class Elf:
    """Facts of one ELF file."""

    machine: str  #: architecture, or ``machine N`` for one that applications do not run on
    kind: str  #: object, executable, shared, core, archive
    bits: int = 64
    little: bool = True
    flags: int = 0
    interpreter: str = ""
    soname: str = ""
    needed: list[str] = field(default_factory=list)
    #: Library -> versions of its symbols that are needed.
    versions: dict[str, set[str]] = field(default_factory=dict)
    alignment: int = 0  #: smallest alignment of a loadable segment, bytes
    truncated: str = ""  #: what lies beyond the end of the file
    x86_level: int = 0  #: level of the x86-64 psABI that it says it needs
    abi_kernel: tuple[int, int] = (0, 0)  #: oldest kernel that its ABI note names
    symbols: bytes = b""  #: names of its dynamic symbols, as they lie in the string table
    ifunc: bool = False
    resolvers: tuple[int, ...] = ()  #: addresses of functions that choose others, of IRELATIVE relocations
    code: list[Section] = field(default_factory=list)
    constants: list[Section] = field(default_factory=list)
    sections: frozenset[str] = frozenset()
    debug: bool = False  #: a detached file of debugging symbols
    kernel_module: bool = False

    @property
    def runs(self) -> bool:
        """Whether a CPU is meant to run it as it is: an executable or a shared object."""
        return self.kind in ("executable", "shared") and not self.debug

    @property
    def program(self) -> bool:
        """Whether it is started as it is, and not loaded by something that may ask first what the CPU has."""
        return self.runs and (self.kind == "executable" or bool(self.interpreter))

    @property
    def cpu(self) -> bool:
        """Whether the machine of the file is a known CPU."""
        return not self.machine.startswith("machine ")


class NoElf(Exception):
    """The file begins like an ELF file and is not one; the message says what is wrong."""


def read(data: Buffer) -> Elf:
    """Read an ELF file, or the first ELF file of a static library.

    Raises:
        NoElf: its header is cut off or contradicts itself.
        Unreadable: its tables ask for more work than its size allows.
    """
    try:
        return _read(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise NoElf(f"it is damaged: {error}") from error


def _read(data: Buffer) -> Elf:
    if data[:8] == b"!<arch>\n":
        return _archive(data)
    head = _header(data)
    kind, machine, _, _, at, sections_at, flags, _, entry, count, wide, number, names = head.fields
    bits, order = head.bits, head.order
    name = MACHINES.get(machine, f"machine {machine}")
    if name == "mips" and bits == 64:
        name = "mips64"
    if name == "riscv64" and bits == 32:
        name = "riscv32"
    elf = Elf(machine=name, kind=TYPES.get(kind, f"type {kind}"), bits=bits, little=order == "<", flags=flags)
    reader = _Reader(data, order, bits, elf)
    reader.segments(at, entry, count)
    reader.sections(sections_at, wide, number, names)
    return elf


class _Header(NamedTuple):
    """``fields``: from e_type to e_shstrndx, but for e_ident (gABI, ELF header)."""

    bits: int
    order: str
    fields: tuple[int, ...]


def _header(data: Buffer) -> _Header:
    size = len(data)
    if size < 52:
        raise NoElf("the ELF header is cut off")
    bits, order = {1: 32, 2: 64}.get(data[4], 0), {1: "<", 2: ">"}.get(data[5], "")
    if not bits or not order or (bits == 64 and size < 64):
        raise NoElf("the ELF header is damaged or cut off")
    layout = f"{order}HHIQQQIHHHHHH" if bits == 64 else f"{order}HHIIIIIHHHHHH"
    return _Header(bits, order, struct.unpack_from(layout, data, 16))


def end_of(data: Buffer) -> int:
    """Where the last part of an ELF file ends: its headers, its segments, its sections.

    Raises:
        NoElf: its header is cut off or contradicts itself.
    """
    bits, order, fields = _header(data)
    at, sections_at, entry, count, size, number = *fields[4:6], *fields[8:12]
    program = struct.Struct(f"{order}IIQQQQ" if bits == 64 else f"{order}IIIII")
    section = struct.Struct(f"{order}IIQQQQ" if bits == 64 else f"{order}IIIIII")
    end: int = max(at + entry * count, sections_at + size * number)
    for place in range(at, min(at + entry * count, len(data) - program.size + 1), max(1, entry)):
        row = program.unpack_from(data, place)
        end = max(end, row[2] + row[5] if bits == 64 else row[1] + row[4])
    for place in range(sections_at, min(sections_at + size * number, len(data) - section.size + 1), max(1, size)):
        _, kind, _, _, offset, length = section.unpack_from(data, place)
        end = max(end, offset + length if kind != _SHT_NOBITS else 0)  # such a section takes no place in the file
    return end


def _archive(data: Buffer) -> Elf:
    """The facts of a static library (ar(5)): those of its first ELF file, and whether a member of it is cut off."""
    position, library = 8, Elf(machine="machine 0", kind="archive")
    while position + _AR_HEADER <= len(data):
        header = bytes(data[position : position + _AR_HEADER])
        if header[58:60] != b"`\n":
            return library
        if not (digits := header[48:58].strip()).isdigit():
            raise NoElf(f"a member of its size {header[48:58]!r}")
        length, begin = int(digits), position + _AR_HEADER
        if not library.cpu and bytes(data[begin : begin + 4]) == b"\x7fELF":
            elf = read(bytes(data[begin : begin + min(length, 1 << 20)]))
            library = Elf(machine=elf.machine, kind="archive", bits=elf.bits, little=elf.little, flags=elf.flags)
        position = begin + length + length % 2
    if position > len(data) + 1 or bytes(data[position:]).strip(b"\n\0"):  # the last member may lack its padding
        library.truncated = "a member of the library"
    return library


class _Reader:
    def __init__(self, data: Buffer, order: str, bits: int, elf: Elf) -> None:
        self.data, self.size, self.order, self.bits, self.elf = data, len(data), order, bits, elf
        self.work = Work.for_size(self.size)
        self.loads: list[tuple[int, int, int, int]] = []  #: address, offset, size in the file, flags

    def segments(self, at: int, entry: int, count: int) -> None:
        elf, data = self.elf, self.data
        layout = struct.Struct(f"{self.order}IIQQQQQQ" if self.bits == 64 else f"{self.order}IIIIIIII")
        if not count or not at:
            return
        if entry < layout.size or at + entry * count > self.size:
            elf.truncated = "the program headers"
            return
        dynamic: tuple[int, int] | None = None
        self.work.spend(count)
        for i in range(count):
            if self.bits == 64:
                kind, flags, offset, address, _, size, _, align = layout.unpack_from(data, at + i * entry)
            else:
                kind, offset, address, _, size, _, flags, align = layout.unpack_from(data, at + i * entry)
            if kind == _PT_LOAD:
                self.loads.append((address, offset, size, flags))
                if offset + size > self.size:
                    elf.truncated = "a loadable segment"
                elf.alignment = min(elf.alignment or align, align) if align else elf.alignment
            elif kind == _PT_INTERP and offset + size <= self.size:
                elf.interpreter = (
                    bytes(data[offset : offset + min(size, 4096)]).split(b"\0")[0].decode(errors="replace")
                )
            elif kind == _PT_DYNAMIC:
                dynamic = (offset, size)
            elif kind == _PT_NOTE:
                self.notes(offset, size, align)
        if dynamic is not None:
            self.dynamic(*dynamic)
        if not elf.code:
            elf.code = [
                Section("", offset, min(size, max(0, self.size - offset)), address)
                for address, offset, size, flags in self.loads
                if flags & 1
            ]
            self.work.spend(sum(section.size for section in elf.code) / _BYTES_A_STEP)

    def notes(self, offset: int, size: int, align: int) -> None:
        align = 8 if align == 8 else 4
        end = min(offset + size, self.size)
        while offset + 12 <= end:
            self.work.spend(1)
            name_size, length, kind = struct.unpack_from(f"{self.order}III", self.data, offset)
            name_at = offset + 12
            at = name_at + (name_size + 3 & ~3)
            if at + length > end:
                return
            if kind == _GNU_ABI_TAG and length >= 16 and bytes(self.data[name_at : name_at + 4]) == b"GNU\0":
                self.elf.abi_kernel = struct.unpack_from(f"{self.order}II", self.data, at + 4)
            if kind == _GNU_PROPERTY and bytes(self.data[name_at : name_at + 4]) == b"GNU\0":
                self.properties(at, length)
            offset = at + (length + align - 1 & -align)

    def properties(self, at: int, length: int) -> None:
        end, step = at + length, 8 if self.bits == 64 else 4
        while at + 8 <= end:
            self.work.spend(1)
            kind, size = struct.unpack_from(f"{self.order}II", self.data, at)
            if kind == _X86_ISA_1_NEEDED and size == 4 and at + 12 <= end and self.elf.machine in ("x86_64", "i386"):
                (bits,) = struct.unpack_from(f"{self.order}I", self.data, at + 8)
                self.elf.x86_level = max((level for bit, level in _LEVELS.items() if bits & bit), default=0)
            at += 8 + (size + step - 1 & -step)

    def _offset(self, address: int) -> int | None:
        """Where an address lies in the file."""
        self.work.spend(len(self.loads))
        for start, offset, size, _ in self.loads:
            if start <= address < start + size:
                return offset + address - start
        return None

    def _word(self, table: int, end: int, index: int) -> str:
        at = table + index
        if not table <= at < end:
            return ""
        stop = self.data.find(b"\0", at, min(end, at + 4096))
        self.work.spend(1 + (max(at, stop) - at) / _BYTES_A_STEP)
        return bytes(self.data[at : stop if stop >= 0 else at]).decode(errors="replace")

    def dynamic(self, offset: int, size: int) -> None:
        elf = self.elf
        pair = struct.Struct(f"{self.order}{'QQ' if self.bits == 64 else 'II'}")
        end = min(offset + size, self.size)
        tags: dict[int, int] = {}
        needed: list[int] = []
        for at in range(offset, end - pair.size + 1, pair.size):
            self.work.spend(1)
            tag, value = pair.unpack_from(self.data, at)
            if tag == 0:
                break
            if tag == 1:
                needed.append(value)
            else:
                tags[tag] = value
        table = self._offset(tags.get(5, 0))
        if table is None:
            return
        stop = min(table + tags.get(10, 0), self.size)
        elf.symbols = bytes(self.data[table:stop])
        elf.needed = [self._word(table, stop, index) for index in needed[:10_000]]
        if 14 in tags:
            elf.soname = self._word(table, stop, tags[14])
        versions = self._offset(tags.get(_DT_VERNEED, 0))
        if versions is not None:
            self.version_needs(versions, tags.get(0x6FFFFFFF, 0), table, stop)

    def version_needs(self, at: int, count: int, table: int, stop: int) -> None:
        for _ in range(min(count, 10_000)):
            if at + 16 > self.size:
                return
            _, entries, file, first, following = struct.unpack_from(f"{self.order}HHIII", self.data, at)
            library = self.elf.versions.setdefault(self._word(table, stop, file), set())
            inner = at + first
            for _ in range(entries):
                self.work.spend(1)
                if inner + 16 > self.size:
                    return
                _, _, _, name, more = struct.unpack_from(f"{self.order}IHHII", self.data, inner)
                library.add(self._word(table, stop, name))
                if not more:
                    break
                inner += more
            if not following:
                return
            at += following

    def sections(self, at: int, entry: int, count: int, names: int) -> None:
        elf = self.elf
        layout = struct.Struct(f"{self.order}IIQQQQIIQQ" if self.bits == 64 else f"{self.order}IIIIIIIIII")
        if not at or not count or entry < layout.size:
            return
        if at + entry * count > self.size:
            # Section headers are not needed to run; a file without its end lacks them first.
            elf.truncated = elf.truncated or ("the section headers" if elf.kind == "object" else "")
            return
        every = [layout.unpack_from(self.data, at + i * entry) for i in range(min(count, MAX_HEADERS))]
        table, stop = 0, 0
        if names < len(every):
            table, stop = every[names][4], min(every[names][4] + every[names][5], self.size)
        labels: list[str] = []
        code: list[Section] = []
        for index, kind, flags, address, offset, size, _, _, _, width in every:
            name = self._word(table, stop, index)
            labels.append(name)
            inside = kind != _SHT_NOBITS and offset + size <= self.size
            if flags & 4 and inside and size:
                code.append(Section(name, offset, size, address))
            elif name.startswith(".rodata") and inside:
                elf.constants.append(Section(name, offset, size, address))
            elif kind == _SHT_DYNSYM and inside and width:
                elf.ifunc = elf.ifunc or self.has_ifunc(offset, size, width)
            elif kind == _SHT_RELA and flags & 2 and inside and self.bits == 64:
                elf.resolvers += tuple(self.resolvers(offset, size))
        elf.sections = frozenset(labels)
        self.work.spend(sum(section.size for section in (*code, *elf.constants)) / _BYTES_A_STEP)
        elf.code = code if code or not elf.runs else elf.code
        text = [every[i] for i, name in enumerate(labels) if name == ".text"]
        elf.debug = bool(text) and all(header[1] == _SHT_NOBITS for header in text) and elf.kind != "object"
        elf.kernel_module = ".modinfo" in elf.sections and elf.kind == "object"

    def resolvers(self, offset: int, size: int) -> Iterator[int]:
        wanted = _IRELATIVE.get(self.elf.machine)
        self.work.spend(size / _BYTES_A_STEP)
        table = struct.Struct(f"{self.order}QQq")
        whole = min(size, table.size * MAX_SYMBOLS) // table.size * table.size
        for _, info, addend in table.iter_unpack(self.data[offset : offset + whole]) if wanted is not None else ():
            if info & 0xFFFFFFFF == wanted:
                yield addend

    def has_ifunc(self, offset: int, size: int, width: int) -> bool:
        info = 4 if self.bits == 64 else 12
        self.work.spend(size / _BYTES_A_STEP)
        kinds = self.data[offset + info : offset + min(size, width * MAX_SYMBOLS) : width]
        return any(kind & 15 == _IFUNC for kind in set(kinds))


def highest(versions: set[str], prefix: str) -> tuple[int, ...]:
    """The highest version that begins with ``prefix``: ``GLIBC_2.34`` -> (2, 34); empty where there is none."""
    numbers = (numbers_of(version[len(prefix) :]) for version in versions if version.startswith(prefix))
    return max(numbers, default=())


def numbers_of(text: str) -> tuple[int, ...]:
    """The numbers of a version: ``2.34`` -> (2, 34); empty where it is not written like that."""
    return tuple(map(int, text.split("."))) if _VERSION.fullmatch(text) else ()
