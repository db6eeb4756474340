"""Findings about the architecture that files are for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from harness.model.definitions import Cpu, Rule
from harness.model.finding import Finding, Targets
from harness.scan.groups import Binaries, cpus, finding
from harness.scan.variants import architectures_named

#: Programs of a narrower architecture that the kernel of a wider one runs.
ALSO_RUN_BY = {"i386": ("x86_64",), "arm": ("aarch64",)}
#: Kinds of units that say for themselves what they are for: rules about them look inside.
INDEPENDENT = ("jar", "wheel", "npm")


def _lacking(every: Iterable[Cpu]) -> str:
    return ", ".join(dict.fromkeys(cpu.architecture for cpu in every))


def architecture(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files that no declared CPU of some architecture can run. ``units``: kinds of packages that the rule is for."""
    units = rule.parameters.get("units")
    others = set(rule.parameters.get("other_units", ()))
    optional = re.compile(rule.parameters.get("fallback", r"(?!)"), re.IGNORECASE)
    reported: set[str] = set()
    for fact in binaries.facts:
        if not fact.runs or fact.key in reported:
            continue
        if (units is not None and fact.unit_kind not in units) or fact.unit_kind in others:
            continue
        absent, partly = binaries.missing(fact, targets)
        concerned = partly if rule.parameters.get("partly") else absent
        if concerned:
            reported.add(fact.key)
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
    """Files of another architecture than the package or the image that they are in says.

    Nothing on a machine of that architecture can load them. A file that is there for the right architecture too is one
    of several variants, and a file whose path names its own architecture is chosen by that path: the first is no
    finding, the second a warning.
    """
    said: dict[str, set[str]] = {place: set(names) for place, names in binaries.packages.images.items()}
    for component in binaries.packages.components:
        if component.architecture:
            said.setdefault(component.file, set()).add(component.architecture)
    variants: dict[tuple[str, str], set[str]] = defaultdict(set)
    labels = {id(fact): _label(fact.place, said) for fact in binaries.facts if fact.runs}
    for fact in binaries.facts:
        if fact.runs:
            variants[labels[id(fact)][0], fact.key] |= {fact.machine, *ALSO_RUN_BY.get(fact.machine, ())}
    reported: set[tuple[str, str]] = set()
    for fact in binaries.facts:
        outer, names = labels.get(id(fact), ("", set()))
        if not names or fact.unit_kind in INDEPENDENT or names & variants[outer, fact.key]:
            continue
        concerned = [cpu for cpu in targets.cpus.values() if cpu.architecture in names]
        if not concerned or (outer, fact.key) in reported:
            continue
        reported.add((outer, fact.key))
        inside = fact.place.removeprefix(outer)
        chosen = fact.machine in architectures_named(inside) or "/firmware/" in inside
        what = "image" if outer in binaries.packages.images else "package"
        message = f"the {what} says {', '.join(sorted(names))}, the file is for {fact.machine}"
        if chosen:
            message += "; its path says so too"
        yield finding(rule, fact.place, cpus(concerned), message, severity="warning" if chosen else None)


def _label(place: str, said: Mapping[str, set[str]]) -> tuple[str, set[str]]:
    """The innermost container of a file that names architectures, and these; empty where none does."""
    outer = place.rpartition("!/")[0]
    while outer:
        if outer in said:
            return outer, said[outer]
        outer = outer.rpartition("!/")[0]
    return "", set()


def truncated(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files that end too early, so that they cannot run or be linked."""
    for fact in binaries.facts:
        if fact.truncated:
            concerned = [c for c in targets.cpus.values() if fact.missing or c.architecture == fact.machine]
            message = fact.truncated if fact.missing else f"{fact.truncated} reaches beyond the end of the file"
            yield finding(rule, fact.place, cpus(concerned), message, severity=None if fact.runs else "warning")
