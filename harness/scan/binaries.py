"""What is kept of each ELF file, and the findings that follow from it for the declared targets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.model.definitions import Cpu, Rule, Severity
from harness.model.finding import Concern, Finding, Targets
from harness.scan import code, elf
from harness.scan.elf import Elf, NoElf
from harness.scan.walking import Buffer, Entry, Walk

#: x86-64 psABI level -> what the levels up to it add, as /proc/cpuinfo names it.
LEVELS = {
    2: {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    3: {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    4: {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
#: Folders whose files the loader takes only on a CPU that has what is needed (glibc-hwcaps, ld.so(8)).
_CHOSEN = re.compile(r"glibc-hwcaps/|/haswell/|/avx512_1/|/atomics/")
#: Names of plugins that are chosen by what the CPU has.
_NAMED = re.compile(r"avx-?512|avx2|skx|skylake|knl|lse|sve|neon|lasx|lsx|[-_.]v[34](?=[._-]|$)", re.IGNORECASE)


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
    return "new" if one.flags & 0xC0 == 0x40 else "old"


# --- detectors ---


@dataclass
class Binaries:
    """All ELF files of a scan, with what groups of them have in common."""

    facts: list[ElfFact]
    walk: Walk

    def __post_init__(self) -> None:
        self.by_key: dict[str, set[str]] = defaultdict(set)
        self.by_unit: dict[str, set[str]] = defaultdict(set)
        #: Libraries that something is linked with: they are loaded whatever the CPU has.
        self.linked = {name for fact in self.facts for name in fact.needed}
        self.worlds: dict[str, set[str]] = defaultdict(set)  #: of LoongArch, by key
        inside: dict[str, set[str]] = defaultdict(set)
        for fact in self.facts:
            if fact.runs:
                self.by_key[fact.key].add(fact.machine)
                self.by_unit[fact.unit].add(fact.machine)
                self.worlds[fact.key].add(fact.world)
                inside[fact.place.rpartition("!/")[0]].add(fact.machine)
        for unit, place, architecture in self.walk.labels:
            if not inside[place] or architecture in inside[place]:  # a package may say what it is not
                self.by_unit[unit].add(architecture)

    def missing(self, fact: ElfFact, targets: Targets) -> tuple[list[Cpu], list[Cpu]]:
        """CPU classes for which neither the file nor its package has a variant; those for which only the package has.

        32-bit x86 programs run on x86-64.
        """
        there = self.by_key[fact.key] | ({"x86_64"} if "i386" in self.by_key[fact.key] else set())
        package = self.by_unit[fact.unit] if fact.unit_kind != "tree" else set()
        lacking = [cpu for cpu in targets.cpus.values() if cpu.architecture not in there]
        return (
            [c for c in lacking if c.architecture not in package],
            [c for c in lacking if c.architecture in package],
        )


def finding(
    rule: Rule,
    file: str,
    targets: Iterable[Concern],
    message: str,
    *,
    place: str = "",
    line: int = 0,
    severity: Severity | None = None,
) -> Finding:
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        file=file,
        place=place,
        line=line,
        targets=tuple(sorted(set(targets))),
        message=message,
        advice=rule.advice.en,
    )


def cpus(every: Iterable[Cpu]) -> list[Concern]:
    return [Concern("cpu", cpu.cpu) for cpu in every]


def _lacking(every: Iterable[Cpu]) -> str:
    return ", ".join(dict.fromkeys(cpu.architecture for cpu in every))


def architecture(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files that no declared CPU of some architecture can run. ``units``: kinds of packages that the rule is for."""
    units = rule.parameters.get("units")
    others = set(rule.parameters.get("other_units", ()))
    optional = re.compile(rule.parameters.get("fallback", r"(?!)"), re.IGNORECASE)
    told: set[str] = set()
    for fact in binaries.facts:
        if not fact.runs or fact.key in told:
            continue
        if (units is not None and fact.unit_kind not in units) or fact.unit_kind in others:
            continue
        absent, partly = binaries.missing(fact, targets)
        concerned = partly if rule.parameters.get("partly") else absent
        if concerned:
            told.add(fact.key)
            eased = rule.severity == "blocker" and optional.search(fact.place)
            has = ", ".join(sorted(binaries.by_key[fact.key]))
            yield finding(
                rule,
                fact.place,
                cpus(concerned),
                f"built for {has}; nothing for {_lacking(concerned)}",
                severity="warning" if eased else None,
            )


def objects(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Kernel modules, or static libraries and object files: they go into something that is built elsewhere."""
    for fact in binaries.facts:
        module = fact.kernel_module
        if fact.kind not in ("object", "archive") or module != bool(rule.parameters.get("kernel_modules")):
            continue
        if fact.machine.startswith("machine "):
            continue
        lacking = [cpu for cpu in targets.cpus.values() if module or cpu.architecture != fact.machine]
        if lacking:
            word = "a kernel module" if module else "object code"
            yield finding(rule, fact.place, cpus(lacking), f"{word} for {fact.machine}")


def label(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Packages whose files are of another architecture than the package says."""
    said = {one.file: one.architecture for one in binaries.walk.components if one.architecture}
    told: set[str] = set()
    for fact in binaries.facts:
        outer = fact.place.rpartition("!/")[0]
        name = said.get(outer, "")
        if not fact.runs or not name or outer in told or name == fact.machine:
            continue
        if (name, fact.machine) in (("x86_64", "i386"), ("aarch64", "arm")):
            continue
        told.add(outer)
        concerned = [cpu for cpu in targets.cpus.values() if cpu.architecture == name]
        if concerned:
            yield finding(rule, fact.place, cpus(concerned), f"the package says {name}, the file is for {fact.machine}")


def truncated(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    for fact in binaries.facts:
        if fact.truncated:
            concerned = [c for c in targets.cpus.values() if fact.missing or c.architecture == fact.machine]
            told = fact.truncated if fact.missing else f"{fact.truncated} reaches beyond the end of the file"
            yield finding(rule, fact.place, cpus(concerned), told, severity=None if fact.runs else "warning")


def x86_level(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """The level of the x86-64 psABI that a file says it needs; the loader refuses it on a lesser CPU."""
    for fact in binaries.facts:
        if fact.x86_level < 2 or not fact.runs or _CHOSEN.search(fact.place):
            continue
        adds = set().union(*(names for level, names in LEVELS.items() if level <= fact.x86_level))
        concerned = []
        for cpu in targets.cpus.values():
            has = re.fullmatch(r"x86-64-v(\d)", cpu.isa_level)
            below = has is not None and int(has[1]) < fact.x86_level
            if cpu.architecture == "x86_64" and (below or adds & set(cpu.features.absent)):
                concerned.append(cpu)
        if concerned:
            yield finding(
                rule,
                fact.place,
                cpus(concerned),
                f"it says that it needs x86-64-v{fact.x86_level}",
                place=".note.gnu.property",
            )


def extension(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Instructions of an extension that a CPU class lacks.

    They may be chosen by what the CPU has: where the file asks, where its name says so, and where it is a library that
    no file is linked with, because whoever loads it may ask.
    """
    for fact in binaries.facts:
        for use in fact.uses:
            if use.extension not in rule.parameters["extensions"]:
                continue
            lacking = [
                cpu
                for cpu in targets.cpus.values()
                if cpu.architecture == fact.machine and use.extension in cpu.features.absent
            ]
            if not lacking:
                continue
            chosen = use.dispatched or _CHOSEN.search(fact.place) or _NAMED.search(fact.place.rpartition("/")[2])
            name = fact.place.rpartition("/")[2]
            loaded = not fact.program and not {fact.soname, name} & binaries.linked
            told = f"uses {use.extension}: {use.instruction}"
            if chosen:
                told += "; the file asks what the CPU has, or is chosen by it"
            elif loaded:
                told += "; nothing here is linked with it, so it may be loaded only where the CPU has them"
            yield finding(
                rule, fact.place, cpus(lacking), told, place=use.place, severity="warning" if chosen or loaded else None
            )


def symbol_version(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Symbol versions above those of a system's library: ``prefix``, and ``of``, the key that has the system's."""
    prefix, of = rule.parameters["prefix"], rule.parameters["of"]
    own = {(f.unit, f.machine) for f in binaries.facts if f.soname == rule.parameters["library"]}
    for fact in binaries.facts:
        needs = fact.versions.get(prefix, ())
        if not needs or not fact.runs:
            continue
        concerned: dict[Concern, str] = {}
        for system in targets.systems_on(fact.machine):
            has = str(getattr(system, of) or "")
            if has and tuple(map(int, has.split("."))) < needs:
                concerned[Concern("os", system.os, fact.machine)] = has
        if concerned:
            brought = (fact.unit, fact.machine) in own
            wanted = prefix + ".".join(map(str, needs))
            has = ", ".join(f"{one.name} has {version}" for one, version in sorted(concerned.items()))
            told = f"needs {wanted}; {has}" + (
                f"; the package brings its own {rule.parameters['library']}" if brought else ""
            )
            yield finding(rule, fact.place, concerned, told, place=wanted, severity="info" if brought else None)


def loongarch_world(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files of the old world for systems of the new one, and the other way round."""
    for fact in binaries.facts:
        if not fact.world or not fact.runs:
            continue
        there = binaries.worlds[fact.key]
        concerned = [
            Concern("os", one.os, "loongarch64")
            for one in targets.systems_on("loongarch64")
            if one.loongarch_world is not None and one.loongarch_world not in there
        ]
        if concerned:
            yield finding(rule, fact.place, concerned, f"built for the {fact.world} world of LoongArch")


def page_alignment(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Loadable segments that are aligned to less than a page of a system's kernel."""
    for fact in binaries.facts:
        if not fact.runs or not fact.alignment:
            continue
        concerned = {
            Concern("os", one.os, fact.machine): one.page_size[fact.machine]
            for one in targets.systems_on(fact.machine)
            if one.page_size.get(fact.machine, 0) > fact.alignment
        }
        if concerned:
            pages = ", ".join(f"{size >> 10} KiB" for size in sorted(set(concerned.values())))
            told = f"segments are aligned to {fact.alignment >> 10} KiB; pages are of {pages}"
            yield finding(rule, fact.place, concerned, told, place="program headers")


def marker(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Libraries that are linked in and fix a page size when they are built; on systems with larger pages than 4 KiB."""
    below = rule.parameters.get("below")
    for fact in binaries.facts:
        found = fact.markers.get(rule.id)
        if not found:
            continue
        number = re.search(r"\d+(?:\.\d+)*", found)
        if below is not None and (number is None or _numbers(number[0]) >= _numbers(str(below))):
            continue
        concerned = [
            Concern("os", one.os, fact.machine)
            for one in targets.systems_on(fact.machine)
            if one.page_size.get(fact.machine, 4096) > 4096
        ]
        if concerned:
            yield finding(rule, fact.place, concerned, f"contains {found!r}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


DETECTORS = {
    "architecture": architecture,
    "objects": objects,
    "label": label,
    "truncated": truncated,
    "x86-level": x86_level,
    "extension": extension,
    "symbol-version": symbol_version,
    "loongarch-world": loongarch_world,
    "page-alignment": page_alignment,
    "marker": marker,
}
