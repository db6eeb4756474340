"""Libraries inside a product's files, held against known vulnerabilities of their own ecosystems.

Versions are compared by the rules of each: Maven's ComparableVersion, PEP 440, Semantic Versioning 2.0 (by univers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from univers.versions import InvalidVersion, MavenVersion, PypiVersion, SemverVersion, Version

from harness.model.finding import Component
from harness.scan.osv import Advisory, Span

#: Kind of a component -> the name that OSV has for its ecosystem, and the rules of its versions.
_RULES: dict[str, tuple[str, type[Version]]] = {
    "maven": ("Maven", MavenVersion),
    "npm": ("npm", SemverVersion),
    "pypi": ("PyPI", PypiVersion),
}
ECOSYSTEMS = tuple(name for name, _ in _RULES.values())


@dataclass(frozen=True, order=True)
class Library:
    """A library that a file of the product says it is. ``name`` is as OSV writes it; ``whole`` is false where the file
    says no group (a jar that only its own name describes): then ``name`` is the artifact alone."""

    ecosystem: str
    name: str
    version: str
    file: str
    whole: bool = True

    def is_named(self, package: str) -> bool:
        """Whether an advisory for ``package`` may be for this library."""
        known = _canonical(self.ecosystem, package)
        return known == self.name or (not self.whole and known.rpartition(":")[2] == self.name)


@dataclass(frozen=True)
class Hit:
    """A known vulnerability of a library; ``span`` are the versions that have it."""

    library: Library
    advisory: Advisory
    span: Span


def libraries(components: Iterable[Component]) -> list[Library]:
    """Those of an ecosystem with rules, each once; the version is empty where the file states none."""
    named = set()
    for each in components:
        if each.kind in _RULES:
            ecosystem = _RULES[each.kind][0]
            name = f"{each.group}:{each.name}" if each.kind == "maven" and each.group else each.name
            whole = each.kind != "maven" or bool(each.group)
            named.add(Library(ecosystem, _canonical(ecosystem, name), each.version, each.file, whole))
    return sorted(named)


def naming(some: Sequence[Library], ecosystem: str) -> Callable[[str], bool]:
    """Whether a package of an ecosystem may be one of the libraries, for ``harness.scan.osv.advisories``."""
    here = [each for each in some if each.ecosystem == ecosystem]
    names = {each.name for each in here}
    artifacts = {each.name for each in here if not each.whole}

    def known(package: str) -> bool:
        name = _canonical(ecosystem, package)
        return name in names or (bool(artifacts) and name.rpartition(":")[2] in artifacts)

    return known


def hits(some: Iterable[Library], known: Sequence[Advisory], ecosystem: str) -> tuple[list[Hit], list[Library]]:
    """Vulnerabilities of the libraries of an ecosystem, and the libraries with advisories whose versions cannot be
    compared."""
    rules = dict(_RULES.values())[ecosystem]
    met: list[Hit] = []
    odd: list[Library] = []
    for library in some:
        if library.ecosystem != ecosystem:
            continue
        for advisory in known:
            if not library.is_named(advisory.package):
                continue
            less = _less(rules, library.version, advisory)
            if less is None:
                odd.append(library)
                break
            if (span := advisory.affects(library.version, less)) is not None:
                met.append(Hit(library, advisory, span))
    return met, odd


def _less(rules: type[Version], version: str, advisory: Advisory) -> dict[tuple[str, str], bool] | None:
    """What ``Advisory.affects`` needs to know of a version; None where that has no order."""
    if not version or "$" in version:  # a variable of the build, which Maven's rules would order like a word
        return None
    try:
        return {(a, b): bool(rules(a) < rules(b)) for a, b in advisory.bounds(version)}
    except (InvalidVersion, TypeError, ValueError):
        return None


def _canonical(ecosystem: str, name: str) -> str:
    """PEP 503 takes several spellings for one name."""
    return canonicalize_name(name) if ecosystem == "PyPI" else name
