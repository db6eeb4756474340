"""Findings about the architecture that files are for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.model.definitions import Cpu, Rule
from harness.model.finding import Finding, Targets
from harness.scan.groups import Binaries, cpus, finding


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


def truncated(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files that end too early, so that they cannot run or be linked."""
    for fact in binaries.facts:
        if fact.truncated:
            concerned = [c for c in targets.cpus.values() if fact.missing or c.architecture == fact.machine]
            message = fact.truncated if fact.missing else f"{fact.truncated} reaches beyond the end of the file"
            yield finding(rule, fact.place, cpus(concerned), message, severity=None if fact.runs else "warning")
