"""What is kept of each ELF file: facts that know nothing of targets but which instructions are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.model.definitions import Rule
from harness.model.finding import Targets
from harness.scan import code, elf
from harness.scan.elf import Elf, NoElf
from harness.scan.limits import Unreadable
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
    trouble: str = ""  #: what of it could not be looked at, and why
    interpreter: str = ""  #: the program that loads it, as its own header names it
    missing: bool = False  #: nothing at all is known but that it is damaged


class Reader:
    """Reads ELF files for a set of rules and targets: only what one of them asks for."""

    def __init__(self, rules: Iterable[Rule], targets: Targets) -> None:
        self.extensions: dict[str, list[str]] = {}
        wanted = {
            extension for rule in rules if rule.detect == "extension" for extension in rule.parameters["extensions"]
        }
        for cpu in targets.cpus.values():
            lacks = self.extensions.setdefault(cpu.architecture, [])
            lacks += [extension for extension in cpu.features.absent if extension in wanted and extension not in lacks]
        self.markers = {
            rule.id: [_marker_of(declared) for declared in rule.parameters["markers"]]
            for rule in rules
            if rule.detect == "marker"
        }
        #: Markers tell of page sizes: they are looked for where a declared system has larger ones than 4 KiB.
        self.paged = {a for system in targets.systems.values() for a, size in system.page_size.items() if size > 4096}
        self.prefixes = sorted({rule.parameters["prefix"] for rule in rules if rule.detect == "symbol-version"})

    def read(self, entry: Entry) -> ElfFact:
        """The facts of an ELF file; a damaged file gives facts that say so."""
        try:
            parsed = elf.read(entry.data)
        except NoElf as error:
            return self.fact(entry, Elf(machine="machine 0", kind="none", truncated=str(error)), missing=True)
        return self.fact(entry, parsed)

    def fact(self, entry: Entry, parsed: Elf, *, missing: bool = False) -> ElfFact:
        """The facts of a parsed file. ``missing``: the file is too damaged to be parsed."""
        fact = ElfFact(
            place=entry.place,
            key=entry.key,
            unit=entry.unit,
            unit_kind=entry.unit_kind,
            machine=parsed.machine,
            kind=parsed.kind,
            runs=parsed.runs and parsed.cpu,
            program=parsed.program,
            needed=tuple(parsed.needed),
            kernel_module=parsed.kernel_module,
            truncated=parsed.truncated,
            world=_world(parsed),
            alignment=parsed.alignment,
            x86_level=parsed.x86_level,
            soname=parsed.soname,
            interpreter=parsed.interpreter,
            missing=missing,
            versions={
                prefix: elf.highest({v for every in parsed.versions.values() for v in every}, prefix)
                for prefix in self.prefixes
            },
        )
        if fact.runs:
            wanted = self.extensions.get(parsed.machine, [])
            try:
                fact.uses = tuple(code.uses(parsed, entry.data, wanted)) if wanted else ()
            except Unreadable as error:
                fact.trouble = f"its code was not searched: {error}"
            for rule, patterns in self.markers.items() if parsed.machine in self.paged else ():
                if excerpt := _marker(parsed, entry.data, patterns):
                    fact.markers[rule] = excerpt
        return fact


def _marker_of(declared: dict[str, str]) -> tuple[bytes, re.Pattern[bytes]]:
    """Plain text that is looked for first, because that is many times faster, and what must match then."""
    return declared["contains"].encode(), re.compile(
        declared.get("matches", re.escape(declared["contains"])).encode(), re.DOTALL
    )


def _marker(parsed: Elf, data: Buffer, patterns: list[tuple[bytes, re.Pattern[bytes]]]) -> str:
    for literal, pattern in patterns:
        if literal in parsed.symbols and (match := pattern.search(parsed.symbols)) is not None:
            return match[0].strip(b"\0").decode(errors="replace")
        for part in parsed.constants:
            end = part.offset + part.size
            at = data.find(literal, part.offset, end)
            if at >= 0 and (match := pattern.search(data, part.offset, end)) is not None:
                return match[0].strip(b"\0").decode(errors="replace")
    return ""


def _world(parsed: Elf) -> str:
    """Old or new world of a LoongArch file: by its interpreter, its symbol versions, its ABI note, its object ABI.

    The new world begins with glibc 2.36 and Linux 5.19; object ABI 1 is in bit 6 of e_flags.
    """
    if parsed.machine != "loongarch64":
        return ""
    if parsed.interpreter:
        return "old" if parsed.interpreter.endswith("/ld.so.1") else "new"
    names = [v for every in parsed.versions.values() for v in every if v.startswith("GLIBC_")]
    versions = list(filter(None, (elf.numbers_of(name.removeprefix("GLIBC_")) for name in names)))
    if versions:
        return "old" if min(versions) < (2, 36) else "new"
    if parsed.abi_kernel != (0, 0):
        return "old" if parsed.abi_kernel < (5, 19) else "new"
    if parsed.program and not parsed.needed:
        return ""  # static: e_flags tell how objects were linked, and nothing of the kernel's interface
    return "new" if parsed.flags & 0xC0 == 0x40 else "old"
