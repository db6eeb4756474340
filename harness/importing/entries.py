"""The entry of the catalogue that an import writes: ``targets/os/NAME.yaml`` in a folder of the user's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from harness.attest.versions import states
from harness.errors import AttestationMismatch, UsageError
from harness.importing.facts import RootFacts, differences, unlike
from harness.importing.trees import Tree
from harness.model.definitions import Entry, Os
from harness.model.definitions.base import PATTERNS
from harness.reading.catalogue import Catalogue
from harness.reading.entries import entry
from harness.reading.parsing import validate
from harness.reading.source import read_source
from harness.system.files import write_whole

_NAME = r"^[a-z0-9][a-z0-9._+-]{0,63}$"
_LONGEST = 64
#: Keys of a known entry that say how it is got: an import is got in its own way.
_GOT = ("suite", "vm_kernel", "image", "licensed", "pulled", "imported")
KIND = "os"
#: How the source of an entry begins that says nothing but what was seen.
ATTESTED = "attested on import"
#: Keys of an entry that say which system of the catalogue it stands for, beside its identity.
_STANDS_FOR = ("name", "family", "glibc", "identity_files", "version_command", "source")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the import shall be, as far as its maker says so: empty fields say nothing.

    ``name`` of the entry; ``known``: an entry of the catalogue that it is said to be; ``id``, ``version``,
    ``architecture``: what it must be; ``replace``: an entry of this name that is something else gives way;
    ``folder``: the user's, with ``targets`` in it.
    """

    name: str = ""
    known: str = ""
    id: str = ""
    version: str = ""
    architecture: str = ""
    replace: bool = False
    folder: Path = Path()

    @property
    def catalogue(self) -> Catalogue:
        """What is known in the folder."""
        return Catalogue.standard(self.folder)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An entry that may be written: its path, its value as it is written and as it is read; whether it is new."""

    path: Path
    plain: Mapping[str, Any]
    system: Os
    changed: bool

    def write(self) -> None:
        """Raises:
        OSError: the folder cannot be written.
        """
        if not self.changed:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(dict(self.plain), allow_unicode=True, sort_keys=False, width=110)
        write_whole(self.path, f"# written by: harness targets import\n{text}".encode())


def demand(wanted: Wanted, facts: RootFacts, tree: Tree, what: str) -> None:
    """Compare what was seen with everything that is said of it.

    Raises:
        AttestationMismatch: it is something else.
        UsageError: the entry that it is said to be is not known.
    """
    claims = {"id": wanted.id, "version": wanted.version, "architecture": wanted.architecture}
    wrong = differences(facts, claims, {"id": "--id", "version": "--version", "architecture": "--arch"})
    if wanted.known:
        wrong += _unlike(_known(wanted), facts, tree)
    if wrong:
        raise AttestationMismatch(
            f"{what} is not what it is said to be: {'; '.join(wrong)}",
            advice="ask whoever gave it to you which of the two is right; nothing was written",
        )


def _unlike(system: Os, facts: RootFacts, tree: Tree) -> list[str]:
    """Where a root is not what an entry declares; what only a running machine shows is attested when cells run."""
    wrong = [
        unlike(f"os-release {key}", value, system.os, facts.identity.get(key, ""))
        for key, value in system.identity.items()
        if facts.identity.get(key) != value
    ]
    wrong += [unlike(path, "a file", system.os, "") for path in system.identity_files if not tree.find(path)]
    wrong += differences(facts, {"family": system.family}, {"family": system.os})
    if system.architectures and facts.architecture not in system.architectures:
        wrong.append(unlike("architecture", " or ".join(system.architectures), system.os, facts.architecture))
    if system.glibc and facts.glibc and not states(facts.glibc, system.glibc):
        wrong.append(unlike("glibc", system.glibc, system.os, facts.glibc))
    return wrong


def _known(wanted: Wanted) -> Os:
    if wanted.known not in wanted.catalogue.names(f"targets/{KIND}"):
        raise UsageError(
            f"the catalogue has no system {wanted.known}",
            advice="--as takes the name of a system: harness targets list; leave it out for one that is not there",
        )
    system: Entry = entry(f"{KIND}/{wanted.known}", wanted.catalogue)[2]
    assert isinstance(system, Os)
    return system


def draft(
    wanted: Wanted,
    facts: RootFacts,
    key: str,
    value: Any,
    source: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """The entry for what was seen. ``key``: of the entry, pulled or imported; ``value`` of it for the architecture;
    ``source``: where its facts are from, for people; ``more``: further keys.

    Raises:
        UsageError: the name is not fit, or something else has it.
    """
    name = wanted.name or wanted.known or _name_of(facts)
    if fault := _name_fault(name):
        raise UsageError(
            f"{name} is no name of a target: {fault}", advice=f"give another one with --name: {PATTERNS[_NAME]}"
        )
    path = _place_of(wanted.folder, name)
    plain = _from_known(wanted, facts) if wanted.known else _anew(facts, source)
    plain |= {**more, KIND: name, key: {facts.architecture: value}}
    if not path.exists():
        if name != wanted.known and name in wanted.catalogue.names(f"targets/{KIND}"):
            raise UsageError(
                f"the catalogue has a system of the name {name} already",
                advice=f"say that it is that one (--as {name}), or give it another name (--name)",
            )
        return _checked(path, plain, changed=True)
    return _beside(path, plain, facts.architecture, key, wanted, more)


def _name_fault(name: str) -> str:
    """Why a name is none of a target; empty where it is one."""
    if re.fullmatch(_NAME, name):
        return ""
    odd = "".join(dict.fromkeys(re.sub(r"[a-z0-9._+-]", "", name)))
    if odd:
        return f"it has {odd}, and may have small Latin letters (a to z), digits and . _ + - alone"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters, and may have {_LONGEST}"
    return f"it begins with {name[:1] or 'nothing'}, and must begin with a letter or a digit"


def _place_of(folder: Path, name: str) -> Path:
    """The file of an entry.

    Raises:
        UsageError: something else is where it, or its folder, would be.
    """
    path = folder / "targets" / KIND / f"{name}.yaml"
    for place, fits in ((path.parent.parent, Path.is_dir), (path.parent, Path.is_dir), (path, Path.is_file)):
        if (place.exists() or place.is_symlink()) and not fits(place):
            what = "a link that leads nowhere" if not place.exists() else "a folder" if place.is_dir() else "a file"
            raise UsageError(
                f"{place} is {what}, where {'an entry' if place == path else 'a folder of entries'} is to be",
                advice="move it away, or import in another folder",
            )
    return path


def _beside(
    path: Path, plain: dict[str, Any], architecture: str, key: str, wanted: Wanted, more: Mapping[str, Any]
) -> Draft:
    """The entry of this name with the new architecture, or as it is where it has that already.

    Raises:
        UsageError: it is something else.
    """
    there = read_source(path)
    kept: dict[str, Any] = there.value
    validate(there, Os)
    ways = {each: dict(kept.get(each) or {}) for each in ("pulled", "imported")}
    had = {each: value for each, way in ways.items() for name, value in way.items() if name == architecture}
    same = any(ways.values()) and not kept.get("suite")
    same &= all(kept.get(each) == plain[each] for each in ("identity", *more))
    if wanted.known:
        alike = all(kept.get(each) == plain.get(each) for each in _STANDS_FOR)
    else:
        alike = str(kept.get("source", "")).startswith(ATTESTED)
    if (
        same
        and had
        and (alike or not wanted.known)
        and _is_same(had, key, plain[key][architecture], exactly=wanted.replace)
    ):
        return _checked(path, kept, changed=False)
    if same and alike and (not had or wanted.replace):
        for way in ways.values():
            way.pop(architecture, None)
        ways[key][architecture] = plain[key][architecture]
        known = [*kept.get("architectures", ())]
        merged = {**kept, "architectures": known if architecture in known else [*known, architecture]}
        merged |= {each: way for each, way in ways.items() if way}
        return _checked(path, {k: v for k, v in merged.items() if ways.get(k) != {}}, changed=True)
    if wanted.replace:
        return _checked(path, plain, changed=True)
    shown = "is another import" if any(ways.values()) else "is not an import"
    differing = "its content is another" if same else f"identity {kept.get('identity')}, here {plain['identity']}"
    if same and not alike:
        differing = f"it is not {wanted.known}" if wanted.known else "it stands for a system of the catalogue (--as)"
    raise UsageError(
        f"{path} is there already, and {shown}: {differing}",
        advice="give this one another name (--name), or put it in the place of that (--replace)",
    )


def _is_same(had: Mapping[str, Any], key: str, value: Any, *, exactly: bool) -> bool:
    """Whether an import is the one that was there: of the same content, whatever its file is called. Files of a disk
    are others after each boot, so it is known by the disk, unless ``exactly`` is asked for."""
    if key not in had or not isinstance(value, dict):
        return bool(had.get(key) == value)
    kept = had[key]
    origin = value.get("origin_sha256")
    by_origin = value["form"] == kept.get("form") == "root" and origin and origin == kept.get("origin_sha256")
    return bool(kept.get("sha256") == value["sha256"] or (by_origin and not exactly))


def _checked(path: Path, plain: dict[str, Any], *, changed: bool) -> Draft:
    try:
        system = Os.model_validate(plain)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise UsageError(
            f"what was seen makes no entry of the catalogue: {place}: {fault['msg']}",
            advice="write the entry by hand: harness schema os",
        ) from error
    return Draft(path=path, plain=plain, system=system, changed=changed)


def _from_known(wanted: Wanted, facts: RootFacts) -> dict[str, Any]:
    """A known entry, but for the ways in which that is got."""
    path = entry(f"{KIND}/{wanted.known}", wanted.catalogue)[1]
    plain = {key: value for key, value in read_source(path).value.items() if key not in _GOT}
    sources = {key: value for key, value in plain.get("provenance", {}).items() if key.partition(".")[0] not in _GOT}
    identity = {**plain.get("identity", {}), **facts.identity}
    return {**plain, "identity": identity, **({"provenance": sources} if sources else {})}


def _anew(facts: RootFacts, source: str) -> dict[str, Any]:
    return {
        KIND: "",
        "name": {"zh": f"{facts.title}（导入）", "en": f"{facts.title} (imported)"},
        "vendor": {"zh": facts.vendor, "en": facts.vendor},
        "family": facts.family,
        "package_manager": facts.package_manager,
        "architectures": [facts.architecture],
        "identity": dict(facts.identity),
        **({"glibc": facts.glibc} if facts.glibc else {}),
        "certainty": "measured",
        "source": source,
    }


def _name_of(facts: RootFacts) -> str:
    """A name of an entry from those that the system gives itself."""
    words = (re.sub(r"[^a-z0-9._+-]+", "-", word.lower()).strip("-._+") for word in (facts.id, facts.version))
    return "-".join(filter(None, words))[:64]
