"""Findings about instructions that a CPU class lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.definitions import Rule
from harness.model.finding import Finding, Targets
from harness.scan.groups import Binaries, cpus, finding

#: x86-64 psABI level -> what the levels up to it add, as /proc/cpuinfo names it.
LEVELS = {
    2: {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    3: {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    4: {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
#: Folders whose files the loader takes only on a CPU that has what is needed (glibc-hwcaps, ld.so(8)).
_CHOSEN = re.compile(r"glibc-hwcaps/|/haswell/|/avx512_1/|/atomics/")
#: Names of plugins that are chosen by what the CPU has: whole words, for ``pulse`` and ``svelte`` are names too.
_NAMED = re.compile(
    r"(?<![a-z])(?:avx-?512[a-z]*|avx2|skx|skylake[a-z]*|knl|lse2?|sve2?|neon|lasx|lsx)(?![a-z0-9])"
    r"|[-_.]v[34](?=[._-]|$)",
    re.IGNORECASE,
)


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
            message = f"uses {use.extension}: {use.instruction}"
            if chosen:
                message += "; the file asks what the CPU has, or is chosen by it"
            elif loaded:
                message += "; nothing here is linked with it, so it may be loaded only where the CPU has them"
            yield finding(
                rule,
                fact.place,
                cpus(lacking),
                message,
                place=use.place,
                severity="warning" if chosen or loaded else None,
            )
