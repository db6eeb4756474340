"""Dependencies that are known to make trouble on a target: those inside a product, and those that it declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from harness.model.definitions import Rule, Severity
from harness.model.definitions.trouble import Trouble
from harness.model.finding import Component, Concern, Finding, Targets
from harness.scan.asides import aside
from harness.scan.declared import Declared
from harness.scan.groups import finding
from harness.scan.packages import older


def troubles(rule: Rule) -> tuple[Trouble, ...]:
    """The table of a rule."""
    return tuple(Trouble.model_validate(entry) for entry in rule.parameters["packages"])


def wanted(rules: Iterable[Rule]) -> Callable[[str, str], bool]:
    """Whether the table of some rule names a dependency, by its kind and its name."""
    every = [trouble for rule in rules if rule.detect == "component" for trouble in troubles(rule)]
    return lambda kind, name: any(kind in trouble.kinds and re.fullmatch(trouble.name, name) for trouble in every)


def known_trouble(
    rule: Rule,
    components: Iterable[Component],
    declared: Iterable[Declared],
    targets: Targets,
    roots: Collection[str] = (),
) -> Iterator[Finding]:
    """Dependencies of the rule's table. A package that names one architecture is not held against others here."""
    places = [(each, each.file, 0) for each in components] + [(each, each.file, each.line) for each in declared]
    for each, file, line in places:
        concerned: list[Concern] = []
        words: list[str] = []
        for trouble in troubles(rule):
            targets_of_it = _concerned(trouble, each, targets)
            if targets_of_it:
                concerned += targets_of_it
                words.append(_words(trouble))
        if concerned:
            message = f"{each.name} {each.version}".strip() + ": " + " | ".join(words)
            why = _own(each) or aside(file, roots, sources=False)
            message += f" ({why})" if why else ""
            severity: Severity | None = "info" if why else None
            at = f"line {line}" if line else ""
            yield finding(rule, file, concerned, message, place=at, line=line, severity=severity)


def _own(each: Component | Declared) -> str:
    """Why a package is no dependency: a PKG-INFO that no installation wrote is about the sources that it lies with,
    which is what the advice asks for."""
    own = each.file.endswith("/PKG-INFO") and not re.search(r"(?:site|dist)-packages/|EGG-INFO/|!/", each.file)
    return "its own sources lie here" if own else ""


def _words(trouble: Trouble) -> str:
    """What the trouble is, where, and what to do; what nobody verified says so."""
    words = f"{', '.join((*trouble.architectures, *trouble.databases))}: {trouble.told}"
    words += f"; instead: {trouble.instead}" if trouble.instead else ""
    return words + (f" (to be verified: {trouble.source})" if trouble.certainty in ("likely", "general") else "")


def _concerned(trouble: Trouble, each: Component | Declared, targets: Targets) -> list[Concern]:
    """Targets on which a dependency makes the trouble. A version that is not stated may be any."""
    if each.kind not in trouble.kinds or not re.fullmatch(trouble.name, each.name):
        return []
    if trouble.group and each.group and not re.fullmatch(trouble.group, each.group):
        return []
    if trouble.below and not older(each.version, trouble.below):
        return []
    if trouble.below and isinstance(each, Declared) and each.admits(trouble.below):
        return []
    if trouble.since and (not each.version or older(each.version, trouble.since)):
        return []
    return [
        *(Concern("cpu", cpu.cpu) for cpu in targets.cpus.values() if cpu.architecture in trouble.architectures),
        *(Concern("database", name) for name in targets.databases if name in trouble.databases),
    ]
