"""What manifests and lock files state of architectures: for which a package installs, or is there at all."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.model.definitions import Rule
from harness.scan.passages import Passage, line_of
from harness.scan.variants import architectures_named, key_of
from harness.system.canonical import read_json

_PACKERS = re.compile(r"electron-builder|electron-packager|electron-forge|electron-rebuild|\bpkg\b|\bnexe\b|prebuild")
_CHOSEN = re.compile(r"--(?:x64|ia32|armv7l|arm64|loong64)\b|--arch[= ]\s*[\"']?[\w,]+|linux-(?:x64|arm64)\b")
#: Keys of manifests whose lists are of architectures.
_LISTS = re.compile(r"^[ \t]*(?:archs|architectures|arch)\s*[=:]\s*(\[[^\]]*\]|[\"'][^\"'\n]*[\"'])", re.MULTILINE)
_CONTROL = re.compile(r"^Architecture:[ \t]*(.+)$", re.MULTILINE)
#: A table of a manifest that is for another system: [tool.cibuildwheel.windows].
_ELSEWHERE = re.compile(r"\[+[\w.\"'-]*\.(?:windows|macos|darwin|ios|android)\]")
_CARGO = re.compile(r"^[ \t]*target[ \t]*=[ \t]*(\[[^\]]*\]|\"[^\"\n]*\")", re.MULTILINE)
_WHEEL = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(?:-\d\w*)?-[\w.]+-[\w.]+-(?P<tags>[\w.]+)\.whl$")


def passages(rule: Rule, place: str, text: str, languages: tuple[str, ...]) -> Iterator[Passage]:
    """What a manifest states; ``of`` of the rule: manifests, or locks."""
    name = place.rpartition("/")[2]
    if "node_modules/" in place or "site-packages/" in place:
        return
    if rule.parameters["of"] == "locks":
        yield from _lock(name, text)
    elif name == "package.json":
        yield from _of_json(text, lambda value: _npm(value, text))
    elif name == "electron-builder.json":
        yield from _of_json(text, lambda value: _packed(value, text))
    elif name == "control" and "debian/control" in place:
        yield from _control(text)
    elif name == "pyproject.toml":
        yield from _listed(text, _LISTS)
    elif "cargo" in languages and name.startswith("config"):
        yield from _listed(text, _CARGO)


def _of_json(text: str, reader: Callable[[dict[str, Any]], Iterator[Passage]]) -> Iterator[Passage]:
    try:
        value = read_json(text)
    except ValueError:
        return
    if isinstance(value, dict):
        yield from reader(value)


def _strings(value: object) -> list[str]:
    """A text, or the texts of a list."""
    every = value if isinstance(value, list) else [value]
    return [each for each in every if isinstance(each, str)]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _allowed(cpu: object) -> tuple[frozenset[str], frozenset[str]]:
    """Architectures that npm's list ``cpu`` lets in, and those that it keeps out."""
    names = _strings(cpu)
    inside = architectures_named(" ".join(name for name in names if not name.startswith("!")))
    return frozenset(inside), frozenset(architectures_named(" ".join(name for name in names if name.startswith("!"))))


def _npm(value: dict[str, Any], text: str) -> Iterator[Passage]:
    own = architectures_named(str(value.get("name", "")))
    inside, outside = _allowed(value.get("cpu"))
    if (inside or outside) and not own:
        excerpt = f"cpu: {json.dumps(value['cpu'])}: npm installs it on no other (EBADPLATFORM)"
        yield Passage(line=line_of(text, '"cpu"'), excerpt=excerpt, named=inside, about=outside)
    pnpm = _mapping(_mapping(value.get("pnpm")).get("supportedArchitectures")).get("cpu")
    if pnpm and "current" not in _strings(pnpm):
        excerpt = f"pnpm.supportedArchitectures.cpu: {json.dumps(pnpm)}"
        yield Passage(line=line_of(text, "supportedArchitectures"), excerpt=excerpt, named=_allowed(pnpm)[0])
    yield from _bound(value, text)
    yield from _packed(_mapping(value.get("build")), text)
    scripts = {name: line for name, line in _mapping(value.get("scripts")).items() if isinstance(line, str)}
    chosen = {name: line for name, line in scripts.items() if _PACKERS.search(line) and _CHOSEN.search(line)}
    named = frozenset(architectures_named(" ".join(chosen.values())))
    for name, line in list(chosen.items())[:1]:
        yield Passage(line=line_of(text, f'"{name}"'), excerpt=f"{name}: {line}", named=named)


def _bound(value: dict[str, Any], text: str) -> Iterator[Passage]:
    """Dependencies whose names say an architecture; those that are optional are left out where they do not fit."""
    variants: dict[str, set[str]] = defaultdict(set)
    needed: dict[str, str] = {}
    for section in ("dependencies", "devDependencies", "optionalDependencies"):
        for name in _mapping(value.get(section)):
            if architectures := architectures_named(name):
                variants[key_of(name)] |= architectures
                if section != "optionalDependencies":
                    needed.setdefault(key_of(name), name)
    for key, name in needed.items():
        excerpt = f"{name} is a dependency for one architecture"
        yield Passage(line=line_of(text, f'"{name}"'), excerpt=excerpt, named=frozenset(variants[key]))


def _packed(build: dict[str, Any], text: str) -> Iterator[Passage]:
    """What electron-builder packs for Linux."""
    linux = _mapping(build.get("linux"))
    targets = linux.get("target")
    words = _strings(linux.get("arch"))
    for target in targets if isinstance(targets, list) else [targets]:
        words += _strings(target.get("arch")) if isinstance(target, dict) else []
    named = frozenset(architectures_named(" ".join(words)))
    if named and "universal" not in words:
        excerpt = f"the packer builds for {', '.join(dict.fromkeys(words))}"
        yield Passage(line=line_of(text, '"arch"', max(text.find('"linux"'), 0)), excerpt=excerpt, named=named)


def _control(text: str) -> Iterator[Passage]:
    every = [(match, match[1].split()) for match in _CONTROL.finditer(text)]
    named = frozenset(architectures_named(" ".join(word for _, words in every for word in words)))
    for match, words in every:
        if not {"any", "all", "linux-any"} & set(words) and architectures_named(match[1]):
            yield Passage(line=text.count("\n", 0, match.start()) + 1, excerpt=match[0], named=named)
            return


def _listed(text: str, pattern: re.Pattern[str]) -> Iterator[Passage]:
    for match in pattern.finditer(text):
        named = frozenset(architectures_named(match[1]))
        table = text.rfind("\n[", 0, match.start()) + 1  # the first line where no other begins so
        elsewhere = _ELSEWHERE.match(text, table)
        if named and elsewhere is None and not re.search(r"auto|native|all", match[1]):
            yield Passage(line=text.count("\n", 0, match.start()) + 1, excerpt=match[0].strip(), named=named)


def _lock(name: str, text: str) -> Iterator[Passage]:
    if name in ("package-lock.json", "npm-shrinkwrap.json"):
        yield from _of_json(text, lambda value: _npm_lock(value, text))
    elif name in ("poetry.lock", "uv.lock", "pdm.lock"):
        try:
            value = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            return
        yield from _wheels(value, text)


def _npm_lock(value: dict[str, Any], text: str) -> Iterator[Passage]:
    """Packages that npm must install, and whose own list keeps architectures out."""
    for place, package in _mapping(value.get("packages")).items():
        if not place or not isinstance(package, dict) or package.get("optional") or package.get("devOptional"):
            continue
        inside, outside = _allowed(package.get("cpu"))
        if inside or outside:
            name = place.rpartition("node_modules/")[2]
            excerpt = f"{name} {package.get('version', '')}: cpu: {json.dumps(package['cpu'])}"
            yield Passage(line=line_of(text, json.dumps(place)), excerpt=excerpt, named=inside, about=outside)


def _wheels(value: dict[str, Any], text: str) -> Iterator[Passage]:
    """Packages with wheels for some architectures of Linux only; without a source distribution nothing can help."""
    older = _mapping(_mapping(value.get("metadata")).get("files"))
    packages = value.get("package")
    for package in packages if isinstance(packages, list) else []:
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            continue
        files = package.get("files") or older.get(package["name"]) or []
        names = list(_files([*files, *(package.get("wheels") or [])] if isinstance(files, list) else []))
        tags = [match["tags"] for name in names if (match := _WHEEL.search(name)) is not None]
        if any(tag == "any" for tag in tags):
            continue
        linux = [tag for tag in tags if "linux" in tag]
        named = frozenset(architectures_named(" ".join(linux)))
        if named:
            sources = bool(package.get("sdist")) or any(name.endswith((".tar.gz", ".zip")) for name in names)
            excerpt = f"{package['name']} {package.get('version', '')}: wheels for {', '.join(sorted(named))}"
            excerpt += "; it is compiled on others" if sources else "; no sources to compile it from"
            at = line_of(text, f'name = "{package["name"]}"')
            yield Passage(line=at, excerpt=excerpt, named=named, mild=sources)


def _files(every: Iterable[object]) -> Iterator[str]:
    for each in every:
        for key in ("file", "url", "filename"):
            if isinstance(each, dict) and isinstance(each.get(key), str):
                yield each[key].rpartition("/")[2]
