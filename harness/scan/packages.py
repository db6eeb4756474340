"""What packages say of themselves, and which of them are known to make trouble somewhere."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser

from harness.model.definitions import Rule
from harness.model.finding import Component, Concern, Finding, Targets
from harness.scan.groups import finding
from harness.scan.variants import WORDS, architectures_named
from harness.system.canonical import read_json

_GROUP = re.compile(r"^[ \t]*(groupId|artifactId|version)[ \t]*=[ \t]*(\S+)", re.MULTILINE)
NAME_MAX = 255  #: characters of the name of a file that a system can hold
METADATA = 1 << 20  #: characters of a file of metadata that are looked at
#: A library that is known by its file name alone: ``guava-31.1-jre.jar``.
_JAR = re.compile(r"^(?P<name>[A-Za-z][\w.+-]*?)-(?P<version>\d[\w.+-]*)\.jar$")


def component_of(place: str, text: str) -> Component | None:
    """The package that a file of metadata describes; None where it describes none."""
    name = posixpath.basename(place)
    if (name == "METADATA" and ".dist-info/" in place) or name == "PKG-INFO":
        fields = HeaderParser().parsestr(text[:METADATA])
        if fields["Name"]:
            return Component(kind="pypi", name=str(fields["Name"]), version=str(fields["Version"] or ""), file=place)
    elif name == "package.json":
        try:
            value = read_json(text)
        except ValueError:
            return None
        if isinstance(value, dict) and isinstance(value.get("name"), str) and "version" in value:
            return Component(kind="npm", name=value["name"], version=str(value["version"]), file=place)
    elif name == "pom.properties":
        fields_of = dict(_GROUP.findall(text))
        if "artifactId" in fields_of:
            return Component(
                kind="maven",
                name=fields_of["artifactId"],
                version=fields_of.get("version", ""),
                group=fields_of.get("groupId", ""),
                file=place,
            )
    return None


def claim_of(place: str, text: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Architectures that metadata say the files around them are for: what the places of these files begin with, whose
    word it is, architectures; None where they name none (package.json: os, cpu; WHEEL: the tags of its platform)."""
    folder, name = posixpath.split(place)
    if name == "package.json":
        try:
            value = read_json(text)
        except ValueError:
            return None
        systems, names = (_strings(value.get(key)) for key in ("os", "cpu")) if isinstance(value, dict) else ((), ())
        linux = not systems or "linux" in systems
        architectures = tuple(WORDS[each] for each in names if each in WORDS)
        if linux and names and len(architectures) == len(names):
            return f"{folder}/", "the npm package", architectures
    elif name == "WHEEL" and ".dist-info/WHEEL" in place and "!/" in place:
        tags = HeaderParser().parsestr(text[:METADATA]).get_all("Tag", [])
        platforms = [tag.rpartition("-")[2] for tag in tags if "linux" in tag]
        architectures = tuple(sorted({each for platform in platforms for each in architectures_named(platform)}))
        if platforms and architectures:
            return f"{place.rpartition('!/')[0]}!/", "the wheel", architectures
    return None


def _strings(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in listed if isinstance(each, str))


def jar_of(place: str) -> Component | None:
    """The library that a jar is by its name."""
    name = posixpath.basename(place)
    match = _JAR.match(name) if len(name) <= NAME_MAX else None
    if match is None:
        return None
    return Component(kind="maven", name=match["name"], version=match["version"], file=place)


def older(version: str, than: str) -> bool:
    """Whether the numbers of a version are below those of another; an unknown version is not."""
    numbers, limit = ([int(part) for part in re.findall(r"\d+", text)[:4]] for text in (version, than))
    return bool(numbers) and numbers < limit


def formats(rule: Rule, components: Iterable[Component], targets: Targets) -> Iterator[Finding]:
    """Packages of one family only, for systems of the other."""
    every = list(components)
    kinds = {(component.name, component.kind) for component in every}
    pairs = {"deb": ("rpm", "rpm"), "rpm": ("deb", "debian")}
    for component in every:
        if component.kind not in pairs or not component.file.endswith((".deb", ".rpm")):
            continue
        other, family = pairs[component.kind]
        if any(kind == other for name, kind in kinds if name == component.name):
            continue
        concerned = [Concern("os", system.os) for system in targets.systems.values() if system.family == family]
        if concerned:
            yield finding(rule, component.file, concerned, f"{component.name} is there as {component.kind} only")
