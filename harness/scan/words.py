"""Which 32-bit words of AArch64 code are data, and which functions are called only where the CPU has what they need.

Encodings: Arm ARM DDI 0487, C4.1 (loads of literals, branches, PC-relative addresses).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from harness.scan.elf import Elf, Section
from harness.scan.limits import Work
from harness.scan.opaque import Buffer

#: LDR (literal), LDRSW (literal), PRFM (literal), to general and to SIMD registers.
LITERAL = ((0x3B000000, 0x18000000),)
#: Bytes that a load of a literal reads, by its two highest bits: of general registers, of SIMD registers.
_GENERAL, _SIMD = (4, 8, 4, 0), (4, 8, 16, 0)
#: Instructions of a function that chooses others which are looked at, and bytes that one of these may be long.
_RESOLVER, _REACH = 512, 1 << 14


def literal_places(data: Buffer, section: Section, hits: Iterable[int]) -> set[int]:
    """Places in the file of words that some instruction loads as data; ``hits``: places of loads of literals."""
    places: set[int] = set()
    for at in hits:
        word = int.from_bytes(data[at : at + 4], "little")
        length = (_SIMD if word & 1 << 26 else _GENERAL)[word >> 30]
        target = at + _signed(word >> 5, 19) * 4
        if section.offset <= target < section.offset + section.size:
            places.update(range(target, target + length, 4))
    return places


def chosen_places(elf: Elf, data: Buffer) -> set[int]:
    """Places in the file of instructions of functions that IFUNC resolvers may choose.

    A resolver forms the addresses of all functions that it chooses from (ADRP with ADD, or ADR); what is reached from
    these by branches, within a bound, runs only where the resolver took it.

    Raises:
        Unreadable: its resolvers ask for more work than its size allows.
    """
    places: set[int] = set()
    work = Work.for_size(len(data))
    for entry in {address for resolver in set(elf.resolvers) for address in _addresses(elf, data, resolver, work)}:
        places |= _reached(elf, data, entry, work)
    return places


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _at(elf: Elf, address: int) -> int | None:
    """Where an address of code lies in the file."""
    for section in elf.code:
        if section.address <= address < section.address + section.size:
            return section.offset + address - section.address
    return None


def _walk(elf: Elf, data: Buffer, entry: int, follow: Callable[[int], bool], work: Work) -> Iterator[tuple[int, int]]:
    """Address and word of each instruction that branches reach from ``entry``, where ``follow`` lets them."""
    todo, visited = [entry], set[int]()
    while todo:
        address = todo.pop()
        while address not in visited and follow(address) and (at := _at(elf, address)) is not None:
            visited.add(address)
            work.spend(1 + len(elf.code) / 8)
            word = int.from_bytes(data[at : at + 4], "little")
            yield address, word
            if word & 0xFC000000 == 0x14000000:  # B
                address += _signed(word, 26) * 4
                continue
            if word & 0xFE000000 == 0x54000000 or word & 0x7E000000 == 0x34000000:  # B.cond, CBZ, CBNZ
                todo.append(address + _signed(word >> 5, 19) * 4)
            elif word & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
                todo.append(address + _signed(word >> 5, 14) * 4)
            elif word & 0xFE000000 == 0xD6000000 and word & 0x00600000 != 0x00200000:  # BR, RET, and no BLR
                break
            address += 4


def _addresses(elf: Elf, data: Buffer, resolver: int, work: Work) -> Iterator[int]:
    pages: dict[int, int] = {}
    for count, (address, word) in enumerate(_walk(elf, data, resolver, lambda a: abs(a - resolver) < _REACH, work)):
        if count > _RESOLVER:
            return
        offset = _signed(word >> 5 << 2 | word >> 29 & 3, 21)
        if word & 0x9F000000 == 0x90000000:  # ADRP
            pages[word & 31] = (address & ~0xFFF) + (offset << 12)
        elif word & 0x9F000000 == 0x10000000:  # ADR
            yield address + offset
        elif word & 0xFFC00000 == 0x91000000 and word >> 5 & 31 in pages:  # ADD (immediate)
            yield pages[word >> 5 & 31] + (word >> 10 & 0xFFF)


def _reached(elf: Elf, data: Buffer, entry: int, work: Work) -> set[int]:
    inside = (_at(elf, address) for address, _ in _walk(elf, data, entry, lambda a: 0 <= a - entry < _REACH, work))
    return {at for at in inside if at is not None}
