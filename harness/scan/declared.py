"""Dependencies that manifests and lock files declare, in the words of each ecosystem."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.system.canonical import read_json


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A dependency that a file declares; ``version`` is its lowest one, empty where the file states none."""

    kind: str
    name: str
    version: str
    file: str
    line: int
    group: str = ""
    range: str = ""  #: as the file states it, where newer versions fit too

    def admits(self, version: str) -> bool:
        """Whether a newer version is taken too, as far as the range tells: then the lowest one says little."""
        text = self.range.strip()
        wanted, lowest = _numbers(version), _numbers(self.version)
        if not text or "<" in text or not lowest:
            return False
        if text.startswith((">", "*")) or text.endswith("+"):
            return True
        if text.startswith("~") and not text.startswith("~="):
            return wanted[:2] == lowest[:2]
        caret = text.startswith("^") or (self.kind == "cargo" and text[0].isdigit() and not self.file.endswith(".lock"))
        if not caret:
            return False
        same = 1 + next((at for at, number in enumerate(lowest) if number), 0)
        return wanted[:same] == lowest[:same]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:4]]


#: Name, version, where in the text (a place, or words that stand there), group.
_Entry = tuple[str, str, int | str, str]


def declared(place: str, text: str, wanted: Callable[[str, str], bool]) -> Iterator[Declared]:
    """The dependencies that a file declares, each once. ``wanted``: whether one is, by its kind and its name."""
    if "node_modules/" in place:
        return
    name = place.rpartition("/")[2]
    known: set[tuple[str, str]] = set()
    for pattern, kind, reader in READERS:
        if not pattern.fullmatch(name):
            continue
        try:
            entries = [entry for entry in reader(text) if wanted(kind, entry[0])]
        except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
            continue  # what is no such file declares nothing
        for dependency, version, where, group in entries:
            lowest = _lowest(version)
            if (dependency, lowest) not in known:
                known.add((dependency, lowest))
                at = where if isinstance(where, int) else max(text.find(where), 0)
                line = text.count("\n", 0, at) + 1
                yield Declared(
                    kind=kind, name=dependency, version=lowest, file=place, line=line, group=group, range=version
                )


def _lowest(version: str) -> str:
    """The lowest version of a range such as ``^7.6.2``, ``>=1.0,<2``, ``[1.2,2)``."""
    match = re.search(r"\d[\w.+-]*", re.split(r"[,|]|\s(?=[<>=\d])", version.strip().lstrip("[("))[0])
    return match[0] if match is not None and not re.match(r"\s*<", version) else ""


# --- npm ---


def _package_json(text: str) -> Iterator[_Entry]:
    value = read_json(text)
    for section in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, version in value.get(section, {}).items():
            yield name, str(version), f'"{name}"', ""


def _package_lock(text: str) -> Iterator[_Entry]:
    value = read_json(text)
    for place, package in {**value.get("dependencies", {}), **value.get("packages", {})}.items():
        name = place.rpartition("node_modules/")[2]
        if name and not package.get("optional"):
            yield name, str(package.get("version", "")), f'"{place}"', ""


_YARN = re.compile(r"^\"?(?P<name>@?[^@\s\"]+)@[^\n]*:\n\s+version:?\s+\"?(?P<version>[^\"\n]+)", re.MULTILINE)
_PNPM = re.compile(r"^  ['\"]?/?(?P<name>@?[\w.-]+(?:/[\w.-]+)?)[@/](?P<version>\d[\w.+-]*)[^\n]*:\s*$", re.MULTILINE)


# --- Python ---

_REQUIREMENT = re.compile(
    r"^[ \t]*(?P<name>[A-Za-z][\w.-]*)(?:\[[^\]\n]*\])?[ \t]*"
    r"(?P<version>(?:[=<>!~]=?=?[ \t]*[\w.*+-]+[ \t]*,?[ \t]*)*)"
    r"(?=[;#\\@]|$|\s)",
    re.MULTILINE,
)
#: A requirement in a call of setup().
_SETUP = re.compile(r"[\"'](?P<name>[A-Za-z][\w.-]*)(?:\[[\w, -]*\])?\s{0,4}(?P<version>[=<>~!]=?[^\"';\n]{1,60})[\"']")
_CONDA = re.compile(r"^[ \t]*-[ \t]*(?P<name>[A-Za-z][\w.-]*)\s*(?P<version>[=<>~!]=?[^\s#]+)?\s*$", re.MULTILINE)


def _requirement(line: str) -> Iterator[_Entry]:
    """A requirement; one with a marker of its own for the machine has thought of others."""
    match = _REQUIREMENT.match(line)
    if match is not None and "platform_machine" not in line:
        yield match["name"], match["version"], line, ""


def _requirements(text: str) -> Iterator[_Entry]:
    for line in text.split("\n"):
        yield from _requirement(line)


def _pyproject(text: str) -> Iterator[_Entry]:
    value = tomllib.loads(text)
    project = value.get("project", {})
    every = [*project.get("dependencies", []), *value.get("build-system", {}).get("requires", [])]
    for lines in project.get("optional-dependencies", {}).values():
        every += lines
    for line in every:
        yield from _requirement(line)
    poetry = value.get("tool", {}).get("poetry", {})
    tables = [poetry.get("dependencies", {}), poetry.get("dev-dependencies", {}), value.get("packages", {})]
    tables += [group.get("dependencies", {}) for group in poetry.get("group", {}).values()]
    for table in tables:
        for name, version in table.items():
            yield name, _version(version), f"{name} =", ""


def _version(value: Any) -> str:
    return str(value.get("version", "")) if isinstance(value, dict) else str(value)


def _toml_lock(text: str) -> Iterator[_Entry]:
    for package in tomllib.loads(text).get("package", []):
        yield package["name"], str(package.get("version", "")), f'name = "{package["name"]}"', ""


# --- Java ---

_FIELD = re.compile(r"<(groupId|artifactId|version)>\s*([^<\s]+)\s*</")
_PROPERTY = re.compile(r"<([\w.-]+)>([^<\s]+)</\1>")
#: ``group:name:version`` of Gradle, Bazel and Ivy; ``"group" % "name" % "version"`` of sbt.
_COORDINATES = re.compile(
    r"[\"'](?P<group>[a-zA-Z][\w.-]+):(?P<name>[\w.-]+):(?P<version>[\w.+$\{\}-]+)"
    r"|\"(?P<g>[\w.-]+)\"\s*%%?\s*\"(?P<n>[\w.-]+)\"\s*%\s*\"(?P<v>[\w.-]+)\""
    r"|group\s*[:=]\s*['\"](?P<g2>[\w.-]+)['\"],\s*name\s*[:=]\s*['\"](?P<n2>[\w.-]+)['\"],\s*version\s*[:=]\s*['\"](?P<v2>[\w.-]+)"
)
_LOCKED = re.compile(r"^(?P<group>[\w.-]+):(?P<name>[\w.-]+):(?P<version>[\w.-]+)=", re.MULTILINE)


def _blocks(text: str, tag: str) -> Iterator[tuple[int, str]]:
    """Place and content of each element of a name; elements that hold one of the same name are none here."""
    end = -1
    while (start := text.find(f"<{tag}>", end + 1)) >= 0 and (end := text.find(f"</{tag}>", start)) >= 0:
        yield start, text[start:end]


def _pom(text: str) -> Iterator[_Entry]:
    properties = dict(_PROPERTY.findall(text))
    for tag in ("dependency", "extension"):
        for start, block in _blocks(text, tag):
            head, _, rest = block.partition("<exclusions>")
            fields = dict(_FIELD.findall(head + rest.rpartition("</exclusions>")[2]))
            version = re.sub(r"\$\{([^}]+)\}", lambda name: properties.get(name[1], ""), fields.get("version", ""))
            if "artifactId" in fields:
                at = start + max(block.find("<artifactId>"), 0)
                yield fields["artifactId"], version, at, fields.get("groupId", "")


def _gradle(text: str) -> Iterator[_Entry]:
    for match in _COORDINATES.finditer(text):
        name, version = match["name"] or match["n"] or match["n2"], match["version"] or match["v"] or match["v2"]
        yield name, version, match.start(), match["group"] or match["g"] or match["g2"] or ""


def _catalog(text: str) -> Iterator[_Entry]:
    value = tomllib.loads(text)
    versions = value.get("versions", {})
    for alias, entry in value.get("libraries", {}).items():
        whole = entry if isinstance(entry, str) else entry.get("module", f"{entry.get('group')}:{entry.get('name')}")
        group, name, version = (*whole.split(":"), "", "")[:3]
        if isinstance(entry, dict):
            stated = entry.get("version", "")
            version = versions.get(stated["ref"], "") if isinstance(stated, dict) and "ref" in stated else stated
        yield name, str(version), f"{alias} =", group


# --- Rust, Go, C and C++ ---


def _cargo(text: str) -> Iterator[_Entry]:
    value = tomllib.loads(text)
    tables = [value, value.get("workspace", {}), *value.get("target", {}).values()]
    for table in tables:
        for section in ("dependencies", "build-dependencies"):
            for alias, entry in table.get(section, {}).items():
                name = entry.get("package", alias) if isinstance(entry, dict) else alias
                yield name, _version(entry), f"\n{alias}", ""


_GO = re.compile(
    r"^[ \t]*(?:require[ \t]+)?(?P<name>[\w.-]+\.[\w.-]+/[\w./~-]+)\s+v(?P<version>\d[\w.+-]*)", re.MULTILINE
)
_CONAN = re.compile(
    r"[\"'\s](?P<name>[a-z0-9_.+-]{2,})/(?P<version>\d[\w.+-]*|\[[^\]]+\])(?=[@#\"'\s]|$)", re.MULTILINE
)


def _vcpkg(text: str) -> Iterator[_Entry]:
    for entry in read_json(text).get("dependencies", []):
        name = entry if isinstance(entry, str) else entry["name"]
        version = "" if isinstance(entry, str) else str(entry.get("version>=", ""))
        yield name, version, f'"{name}"', ""


def _by(pattern: re.Pattern[str]) -> Callable[[str], Iterator[_Entry]]:
    def reader(text: str) -> Iterator[_Entry]:
        for match in pattern.finditer(text):
            fields = match.groupdict()
            yield fields["name"], fields["version"] or "", match.start("name"), fields.get("group") or ""

    return reader


#: Names of files, the kind of their dependencies, and what reads them.
READERS: tuple[tuple[re.Pattern[str], str, Callable[[str], Iterator[_Entry]]], ...] = tuple(
    (re.compile(names), kind, reader)
    for names, kind, reader in (
        (r"package\.json", "npm", _package_json),
        (r"(?:package-lock|npm-shrinkwrap)\.json", "npm", _package_lock),
        (r"yarn\.lock", "npm", _by(_YARN)),
        (r"pnpm-lock\.yaml", "npm", _by(_PNPM)),
        (r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)", "pypi", _requirements),
        (r"setup\.cfg", "pypi", _requirements),
        (r"setup\.py", "pypi", _by(_SETUP)),
        (r"environment\.ya?ml", "pypi", _by(_CONDA)),
        (r"pyproject\.toml|Pipfile", "pypi", _pyproject),
        (r"(?:poetry|uv|pdm)\.lock", "pypi", _toml_lock),
        (r"pom\.xml|.+\.pom", "maven", _pom),
        (r".+\.gradle(?:\.kts)?|.+\.sbt|WORKSPACE(?:\.bazel)?|MODULE\.bazel|.+\.bzl", "maven", _gradle),
        (r".+\.versions\.toml", "maven", _catalog),
        (r"gradle\.lockfile", "maven", _by(_LOCKED)),
        (r"Cargo\.toml", "cargo", _cargo),
        (r"Cargo\.lock", "cargo", _toml_lock),
        (r"go\.mod", "golang", _by(_GO)),
        (r"conanfile\.(?:txt|py)", "conan", _by(_CONAN)),
        (r"vcpkg\.json", "vcpkg", _vcpkg),
    )
)
