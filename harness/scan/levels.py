"""Which CPU classes lack what a compiler is told to build for, and which systems have larger pages than a text says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.model.definitions import Cpu, Rule
from harness.model.finding import Concern, Targets
from harness.scan.instructions import LEVELS

_ARM, _X86 = re.compile(r"armv(\d)(?:\.(\d+))?-?a?$"), re.compile(r"x86-64-v(\d)$")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
PAGE = 4096  #: bytes of a page where nothing else is known


def lacking(rule: Rule, groups: Mapping[str, str], targets: Targets) -> Iterator[Cpu]:
    """CPU classes below the target that a compiler is told: ``level`` and its extensions after ``+``, as GCC writes
    them. ``cpus`` of the rule: name of a core -> level; ``extensions``: name -> as the catalogue calls it.
    """
    value = next((text.lower() for name, text in groups.items() if name.startswith("level")), "")
    base, *extensions = value.replace(",", "+").split("+")
    if re.fullmatch(r"v\d(?:\.\d)?", base):
        base = {"level_arm": f"armv{base[1:]}-a", "level_amd": f"x86-64-{base}"}.get(next(iter(groups)), "")
    if base in ("native", "host"):
        yield from targets.cpus.values()
        return
    level, *more = str(rule.parameters["cpus"].get(base, base)).split("+")
    known = rule.parameters["extensions"]
    wanted = {known[name] for name in (*extensions, *more) if name in known}
    for cpu in targets.cpus.values():
        if _below(cpu, level) or wanted & set(cpu.features.absent):
            yield cpu


def _below(cpu: Cpu, level: str) -> bool:
    """Whether the level of a CPU class is one of the same architecture, and lower."""
    if (needs := _X86.match(level)) is not None:
        has = _X86.match(cpu.isa_level)
        adds = set().union(*(names for number, names in LEVELS.items() if number <= int(needs[1])))
        return (has is not None and has[1] < needs[1]) or bool(adds & set(cpu.features.absent))
    if (needs := _ARM.match(level)) is not None:
        has = _ARM.match(cpu.isa_level)
        return has is not None and _version(has) < _version(needs)
    cores = ("loongarch64", "la464", "la664")
    return level in cores and cpu.isa_level in cores and cores.index(cpu.isa_level) < cores.index(level)


def _version(match: re.Match[str]) -> int:
    """Armv9.0 has what Armv8.5 has (Arm ARM, A1.3.2)."""
    major, minor = int(match[1]), int(match[2] or 0)
    return minor if major == 8 else minor + 5


def larger_pages(groups: Mapping[str, str], targets: Targets) -> list[Concern]:
    """Systems whose kernel has larger pages than the text says; where no system is declared, CPU classes that can
    have them. ``shift``: the logarithm of the size, ``bytes``: the size itself; without either, 4 KiB.
    """
    size = PAGE
    for name, text in groups.items():
        size = 1 << min(int(text), 64) if name.startswith("shift") else int(text, 0)
    if targets.systems:
        return [
            Concern("os", system.os, architecture)
            for system in targets.systems.values()
            for architecture, pages in system.page_size.items()
            if pages > size and system in targets.systems_on(architecture)
        ]
    return [
        Concern("cpu", cpu.cpu)
        for cpu in targets.cpus.values()
        if any(int(pages[:-1]) * _UNITS[pages[-1]] > size for pages in cpu.page_sizes if pages[-1:] in _UNITS)
    ]
