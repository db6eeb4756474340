"""What is kept of each ELF file: facts that know nothing of targets but which instructions are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.model.definitions import Rule
from harness.model.finding import Targets
from harness.scan import code, elf
from harness.scan.elf import Elf, NoElf
from harness.scan.opaque import Buffer
from harness.scan.walking import Entry


@dataclass(kw_only=True)
class ElfFact:
    """What is kept of an ELF file: nothing of its size."""

    place: str
    key: str
    unit: str
    unit_kind: str
    machine: str
    kind: str
    runs: bool
    program: bool
    needed: tuple[str, ...]
    kernel_module: bool
    truncated: str
    world: str  #: of LoongArch: old, new, or empty
    alignment: int
    x86_level: int
    soname: str
    versions: dict[str, tuple[int, ...]]  #: prefix such as GLIBC_ -> highest version that is needed
    markers: dict[str, str] = field(default_factory=dict)  #: name -> what was matched
    uses: tuple[code.Use, ...] = ()
    missing: bool = False  #: nothing at all is known but that it is damaged


class Reader:
    """Reads ELF files for a set of rules and targets: only what one of them asks for."""

    def __init__(self, rules: Iterable[Rule], targets: Targets) -> None:
        self.extensions: dict[str, list[str]] = {}
        wanted = {one for rule in rules if rule.detect == "extension" for one in rule.parameters["extensions"]}
        for cpu in targets.cpus.values():
            lacks = self.extensions.setdefault(cpu.architecture, [])
            lacks += [one for one in cpu.features.absent if one in wanted and one not in lacks]
        self.markers = {
            rule.id: [_marker_of(one) for one in rule.parameters["markers"]]
            for rule in rules
            if rule.detect == "marker"
        }
        #: Markers tell of page sizes: they are looked for where a declared system has larger ones than 4 KiB.
        self.paged = {a for one in targets.systems.values() for a, size in one.page_size.items() if size > 4096}
        self.prefixes = sorted({rule.parameters["prefix"] for rule in rules if rule.detect == "symbol-version"})

    def read(self, entry: Entry) -> ElfFact:
        try:
            one = elf.read(entry.data)
        except NoElf as error:
            return self.fact(entry, Elf(machine="machine 0", kind="none", truncated=str(error)), missing=True)
        return self.fact(entry, one)

    def fact(self, entry: Entry, one: Elf, *, missing: bool = False) -> ElfFact:
        fact = ElfFact(
            place=entry.place,
            key=entry.key,
            unit=entry.unit,
            unit_kind=entry.unit_kind,
            machine=one.machine,
            kind=one.kind,
            runs=one.runs and one.cpu,
            program=one.program,
            needed=tuple(one.needed),
            kernel_module=one.kernel_module,
            truncated=one.truncated,
            world=_world(one),
            alignment=one.alignment,
            x86_level=one.x86_level,
            soname=one.soname,
            missing=missing,
            versions={
                prefix: elf.highest({v for every in one.versions.values() for v in every}, prefix)
                for prefix in self.prefixes
            },
        )
        if fact.runs:
            wanted = self.extensions.get(one.machine, [])
            fact.uses = tuple(code.uses(one, entry.data, wanted)) if wanted else ()
            for rule, patterns in self.markers.items() if one.machine in self.paged else ():
                if found := _marker(one, entry.data, patterns):
                    fact.markers[rule] = found
        return fact


def _marker_of(one: dict[str, str]) -> tuple[bytes, re.Pattern[bytes]]:
    """Plain text that is looked for first, because that is many times faster, and what must match then."""
    return one["contains"].encode(), re.compile(one.get("matches", re.escape(one["contains"])).encode(), re.DOTALL)


def _marker(one: Elf, data: Buffer, patterns: list[tuple[bytes, re.Pattern[bytes]]]) -> str:
    for literal, pattern in patterns:
        if literal in one.symbols and (found := pattern.search(one.symbols)) is not None:
            return found[0].strip(b"\0").decode(errors="replace")
        for part in one.constants:
            end = part.offset + part.size
            at = data.find(literal, part.offset, end)
            if at >= 0 and (found := pattern.search(data, part.offset, end)) is not None:
                return found[0].strip(b"\0").decode(errors="replace")
    return ""


def _world(one: Elf) -> str:
    """Old or new world of a LoongArch file: by its interpreter, its symbol versions, its ABI note, its object ABI.

    The new world begins with glibc 2.36 and Linux 5.19; object ABI 1 is in bit 6 of e_flags.
    """
    if one.machine != "loongarch64":
        return ""
    if one.interpreter:
        return "old" if one.interpreter.endswith("/ld.so.1") else "new"
    versions = [
        tuple(map(int, v[6:].split(".")))
        for every in one.versions.values()
        for v in every
        if re.fullmatch(r"GLIBC_[\d.]+", v)
    ]
    if versions:
        return "old" if min(versions) < (2, 36) else "new"
    if one.abi_kernel != (0, 0):
        return "old" if one.abi_kernel < (5, 19) else "new"
    if one.program and not one.needed:
        return ""  # static: e_flags tell how objects were linked, and nothing of the kernel's interface
    return "new" if one.flags & 0xC0 == 0x40 else "old"
