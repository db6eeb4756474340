"""Instructions that some CPU classes lack, found in machine code.

Candidates are found by their bit patterns in one pass over the code, which costs a fraction of disassembling it; each
candidate is then confirmed by disassembling what is around it (capstone), because tables of constants lie in code
sections too. A pattern belongs to an extension, by the name that the kernel and the catalogue use for it.

Encodings: Arm ARM DDI 0487 C4.1 (loads and stores, SVE, SIMD dot product); LoongArch Reference Manual volume 1 and 2
(LSX, LASX major opcodes); Intel SDM 2.7 (EVEX prefix).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.scan.elf import Elf, Section
from harness.scan.limits import Work
from harness.scan.opaque import Buffer
from harness.scan.words import LITERAL, chosen_places, literal_places

#: Confirmed places that are enough to say that an extension is used.
ENOUGH = 3
#: Candidates of a file that are looked at, and more by its size; Chromium (236 MB of code) has 49,000.
PATIENCE, BYTES_A_CANDIDATE = 20_000, 512
WINDOW = 4 << 20
CONTEXT = 5  #: instructions on each side that must be instructions too

#: Extension -> (mask, value) of 32-bit words.
AARCH64: dict[str, tuple[tuple[int, int], ...]] = {
    "atomics": (
        (0x3F200C00, 0x38200000),  # LDADD, LDCLR, LDEOR, LDSET, LD[SU]MAX, LD[SU]MIN, SWP
        (0x3FA07C00, 0x08A07C00),  # CAS
        (0xBFA07C00, 0x08207C00),  # CASP
    ),
    "sve": ((0x1E000000, 0x04000000),),
    "asimddp": ((0x9FE0FC00, 0x0E809400), (0x9FC0F400, 0x0F80E000)),
}
LOONGARCH64: dict[str, tuple[tuple[int, int], ...]] = {
    "lsx": ((0xFC000000, 0x70000000), (0xFFC00000, 0x2C000000), (0xFFC00000, 0x2C400000)),
    "lasx": ((0xFC000000, 0x74000000), (0xFFC00000, 0x2C800000), (0xFFC00000, 0x2CC00000)),
}
_OF_WORDS = {"aarch64": AARCH64, "loongarch64": LOONGARCH64}
#: What capstone calls the instructions of an extension; words of its group or mnemonic.
_LSE = re.compile(r"(ld|st)(add|clr|eor|set|smax|smin|umax|umin)[abhl]*$|swp[abhl]*$|casp?[abhl]*$")
#: EVEX in 64-bit code: 62, then [R X B R' 0 m m m], [W v v v v 1 p p].
_EVEX = re.compile(
    rb"\x62["
    + b"".join(re.escape(bytes([high << 4 | low])) for high in range(16) for low in (1, 2, 3, 5, 6))
    + rb"]["
    + b"".join(re.escape(bytes([byte])) for byte in range(256) if byte & 4)
    + rb"]",
    re.DOTALL,
)


@dataclass(frozen=True)
class Use:
    """An extension that a file's code uses. ``dispatched``: something in the file asks what the CPU has."""

    extension: str
    place: str
    instruction: str
    dispatched: bool


def uses(elf: Elf, data: Buffer, extensions: Iterable[str]) -> Iterator[Use]:
    """Which of ``extensions`` the code of a file uses, each with the first place.

    Raises:
        Unreadable: so much of its code looks like such instructions that not all of it can be looked at.
    """
    patience = Work(PATIENCE + len(data) / BYTES_A_CANDIDATE)
    for extension in extensions:
        if extension in _OF_WORDS.get(elf.machine, {}):
            hits = _words(elf, data, extension, patience)
        elif elf.machine == "x86_64" and extension.startswith("avx512"):
            hits = _evex(elf, data, patience)
        else:
            continue
        places, chosen = _sorted(elf, data, hits)
        # One word among constants may look like an instruction of LoongArch, which nothing confirms.
        if (places or chosen) and (elf.machine != "loongarch64" or len(places) == ENOUGH):
            yield Use(extension, *(places or chosen)[0], dispatched=not places or asks(elf, data))


def _sorted(
    elf: Elf, data: Buffer, hits: Iterable[tuple[Section, int, str]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Place and instruction of enough uses, and of those in functions that are chosen by what the CPU has."""
    by_choice = chosen_places(elf, data) if elf.machine == "aarch64" and elf.resolvers else set()
    places: list[tuple[str, str]] = []
    chosen: list[tuple[str, str]] = []
    for section, at, instruction in hits:
        (chosen if at in by_choice else places).append((_place(section, at), instruction))
        if len(places) == ENOUGH:
            break
    return places, chosen


def asks(elf: Elf, data: Buffer) -> bool:
    """Whether anything in the file asks what the CPU has: then a use may be one that is chosen at run time."""
    if elf.ifunc or (elf.resolvers and elf.machine == "loongarch64"):
        return True
    names = (
        b"getauxval\0",
        b"__cpu_indicator_init\0",
        b"__cpu_model\0",
        b"elf_aux_info\0",
        b"__get_cpu_features\0",
        b"__x86_get_cpuid_feature_leaf\0",
        b"__aarch64_have_lse_atomics\0",
    )
    if any(name in elf.symbols for name in names):
        return True
    if elf.machine == "x86_64":  # cpuid
        return any(data.find(b"\x0f\xa2", section.offset, section.offset + section.size) >= 0 for section in elf.code)
    return False


# --- words of 32 bits ---


@functools.cache
def _table(mask: int, value: int) -> bytes:
    """For ``bytes.translate``: 1 for a byte that agrees with ``value`` in the bits of ``mask``, else 0."""
    return bytes(int(byte & mask == value) for byte in range(256))


def _words(elf: Elf, data: Buffer, extension: str, patience: Work) -> Iterator[tuple[Section, int, str]]:
    masks = _OF_WORDS[elf.machine][extension]
    for section in elf.code:
        if section.name.startswith(".plt"):
            continue
        literals: set[int] | None = None
        for at in _hits(data, section, masks):
            patience.spend(1)
            instruction = _confirm(elf, data, section, at, extension)
            if instruction:
                if literals is None and elf.machine == "aarch64":
                    literals = literal_places(data, section, _hits(data, section, LITERAL))
                if at not in (literals or ()):
                    yield section, at, instruction


def _hits(data: Buffer, section: Section, masks: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """Places of little-endian words that agree with a mask; the code is read in windows, so that memory stays flat.

    The four bytes of all words of a window are looked at side by side: each lane is translated to ones and zeros, and
    the lanes are combined as integers, which costs a fraction of looking at each word.
    """
    end = section.offset + section.size
    start = section.offset + -section.address % 4
    for window in range(start, end - 3, WINDOW):
        part = bytes(data[window : min(window + WINDOW, end)])
        count = len(part) // 4
        lanes = [part[lane : 4 * count : 4] for lane in range(4)]
        for mask, value in masks:
            agree: int | None = None
            for lane in range(4):
                m, v = mask >> 8 * lane & 255, value >> 8 * lane & 255
                if m:
                    matches = int.from_bytes(lanes[lane].translate(_table(m, v)), "little")
                    agree = matches if agree is None else agree & matches
            flags = (agree or 0).to_bytes(count, "little")
            at = flags.find(1)
            while at >= 0:
                yield window + 4 * at
                at = flags.find(1, at + 1)


def _place(section: Section, at: int) -> str:
    inside = at - section.offset
    return f"{section.name or 'code'}+{inside:#x}"


def _confirm(elf: Elf, data: Buffer, section: Section, at: int, extension: str) -> str:
    """The instruction at ``at`` as text, if it is one, among instructions, that nothing in front of it guards."""
    if elf.machine == "loongarch64":
        return f"word {int.from_bytes(data[at : at + 4], 'little'):#010x}"
    if extension == "atomics" and _guarded(data, at, section):
        return ""
    start = max(section.offset, at - 4 * CONTEXT)
    end = min(section.offset + section.size, at + 4 * (CONTEXT + 1))
    around = bytes(data[start : end - (end - start) % 4])
    decoded = list(_capstone("aarch64").disasm_lite(around, start))
    if len(decoded) * 4 != len(around):
        return ""
    mnemonic, operands = decoded[(at - start) // 4][2:4]
    if extension == "atomics" and not _LSE.match(mnemonic):
        return ""
    if extension == "sve" and not re.search(r"\b[zp]\d+\b", operands):
        return ""
    if extension == "asimddp" and mnemonic not in ("sdot", "udot"):
        return ""
    return f"{mnemonic} {operands}".strip()


def _guarded(data: Buffer, at: int, section: Section) -> bool:
    """Whether it is in a helper of GCC's or LLVM's outline atomics: ``ldrb w16, [x16, …]; cbz w16, …`` before it.

    Other code that tests a flag right before (Go's runtime: ``ldrb w27, …; cbz w27``, and the like) is taken alike.
    """
    for back in range(1, 9):
        place = at - 4 * back
        if place < section.offset + 4:
            return False
        branch = int.from_bytes(data[place : place + 4], "little")
        if branch & 0x7E000000 in (0x34000000, 0x36000000):  # cbz, cbnz; tbz, tbnz
            register = branch & 31
            for further in range(1, 5):
                load = int.from_bytes(data[place - 4 * further : place - 4 * further + 4], "little")
                if load & 0xFFC0001F == 0x39400000 | register:  # ldrb wN, [xM, #imm]
                    return True
    return False


# --- x86-64 ---


def _evex(elf: Elf, data: Buffer, patience: Work) -> Iterator[tuple[Section, int, str]]:
    for section in elf.code:
        if section.name.startswith(".plt"):
            continue
        end = section.offset + section.size
        for window in range(section.offset, end, WINDOW):
            part = bytes(data[window : min(window + WINDOW + 16, end)])
            for match in _EVEX.finditer(part):
                patience.spend(1)
                instruction = _confirm_evex(part, match.start())
                if instruction:
                    yield section, window + match.start(), instruction


def _confirm_evex(code: bytes, at: int) -> str:
    """The instruction, if disassembly from most places before ``at`` comes to it: x86 code falls in step soon."""
    engine = _capstone("x86_64")
    first = next(engine.disasm_lite(code[at : at + 15], 0, 1), None)
    if first is None or not first[2].startswith(("v", "k")):
        return ""
    met = 0
    starts = range(max(0, at - 40), max(0, at - 32)) if at >= 40 else range(min(at, 1))
    for start in starts:
        position = start
        for _, size, _, _ in engine.disasm_lite(code[start : at + 15], 0):
            position += size
            if position >= at:
                break
        met += position == at
    after = list(engine.disasm_lite(code[at : at + 48], 0, 4))
    if (starts and met * 4 < len(starts) * 3) or len(after) < min(4, max(1, (len(code) - at) // 15)):
        return ""
    return f"{first[2]} {first[3]}".strip()


@functools.cache
def _capstone(architecture: str) -> Any:
    import capstone  # takes 40 ms, and many scans need none

    if architecture == "aarch64":
        return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
