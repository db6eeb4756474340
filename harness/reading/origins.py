"""What of a matrix is what the harness ships by its name, what stands in for that, and what is the author's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.model.basis import PARTS, Basis
from harness.model.definitions import Profile, Suite
from harness.model.plan import Definitions, LocatedSuite
from harness.reading.catalogue import Catalogue
from harness.reading.naming import DEPLOYMENT
from harness.reading.parsing import parse
from harness.reading.suites import folder_digest, gather_suite
from harness.system.canonical import digest_of
from harness.system.files import digest_of_file


def basis_of(definitions: Definitions, catalogue: Catalogue) -> tuple[Basis, ...]:
    """Every suite and target that the definitions use, with its digest and that of what is shipped by its name.

    A suite is known by the name that it gives itself, which is the one that documents print, wherever its folder is.

    Raises:
        DefinitionError: a file cannot be read.
    """
    shipped = Catalogue.standard().roots[-1]
    located = dict(definitions.suites)
    steps = catalogue.find("suites", DEPLOYMENT)  # in the catalogue alone, as whoever deploys reads it
    if steps is not None and (deployment := gather_suite(DEPLOYMENT, steps.parent, catalogue)) is not None:
        located = {DEPLOYMENT: deployment, **located}
    entries = {
        entry.kind + entry.name: entry
        for suite in located.values()
        for entry in _of_suite(suite, shipped, definitions.matrix.profile)
    }
    groups: Mapping[str, Collection[str]] = {
        "cpu": definitions.cpus,
        "os": definitions.systems,
        "database": definitions.databases,
        "middleware": definitions.middlewares,
        "runtime": definitions.runtimes,
    }
    for kind, group in groups.items():
        for name in sorted(group):
            path = catalogue.find("targets", kind, f"{name}.yaml")
            if path is not None:
                origin = shipped / "targets" / kind / f"{name}.yaml"
                entries[kind + name] = _entry(kind, name, "", path, origin, _digest(path), _digest(origin))
    return tuple(entries.values())


def replaced(basis: tuple[Basis, ...]) -> list[Basis]:
    """What stands in for something that the harness ships; a part of a suite stands in the line of its suite."""
    return [entry for entry in basis if entry.origin == "replaced" and entry.kind not in PARTS]


def _of_suite(suite: LocatedSuite, shipped: Path, profile: Profile) -> Iterator[Basis]:
    definition, folder = suite.definition, suite.folder
    name, version = definition.suite, definition.version
    origin = shipped / "suites" / name
    same = origin.resolve() == folder
    there = (origin / "suite.yaml").is_file()
    own = suite.digest if same else folder_digest(origin) if there else ""
    yield _entry("suite", name, version, folder, origin, suite.digest, own)
    if (folder / "rules").is_dir() and definition.runner == "scan":
        theirs = folder_digest(origin / "rules") if there and (origin / "rules").is_dir() else ""
        yield _entry(
            "rules", name, version, folder / "rules", origin / "rules", folder_digest(folder / "rules"), theirs
        )
    if definition.profile is not None:
        original = parse(origin / "suite.yaml", Suite).under(profile).profile if there else None
        theirs = digest_of(original.model_dump(mode="json")) if original is not None else ""
        file = folder / "suite.yaml"
        yield _entry(
            "profile", name, version, file, origin, digest_of(definition.profile.model_dump(mode="json")), theirs
        )
        file = folder / definition.locustfile
        if file.is_file():
            origin_file = origin / definition.locustfile
            yield _entry("locustfile", name, version, file, origin_file, _digest(file), _digest(origin_file))


def _entry(kind: str, name: str, version: str, path: Path, origin: Path, digest: str, shipped: str) -> Basis:
    return Basis(kind=kind, name=name, version=version, sha256=digest, shipped=shipped, path=path, shipped_path=origin)


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    if not path.is_file():
        return ""
    try:
        return digest_of_file(path)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise DefinitionError([Fault(file=str(path), line=1, column=1, message=message)]) from error
