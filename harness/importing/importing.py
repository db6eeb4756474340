"""Imports: what a center holds becomes an entry of the catalogue, once it was seen to be what it is said to be.

In this order: the source is read once, beside that a copy is written to a file of no name; what was seen is compared
with what is claimed; the copy is moved to where it is kept; the engine makes the base image of it; the entry is
written. Whatever refuses leaves no entry behind.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.containers.imported import keep, kept_file
from harness.errors import UsageError
from harness.importing.archives import opened, take_image
from harness.importing.entries import ATTESTED, Draft, Wanted, demand, draft
from harness.importing.facts import RootFacts, boots, facts_of
from harness.importing.kinds import Kind, demand_kind
from harness.importing.trees import Tree, take_in
from harness.model.definitions import Imported, Os
from harness.system.files import digest_of_file, open_plain
from harness.system.locks import lock
from harness.system.makers import cache_folder, own_name
from harness.system.printable import one_line

#: Makes the base image of an entry for an architecture, so that what no engine takes is not imported.
Prove = Callable[[Os, str], None]


@dataclass(frozen=True, kw_only=True)
class Import:
    """What was imported: the entry, whether it is new, what was seen, and the digest that it is bound to: of the kept
    copy (SHA-256, hex), or the reference in a registry.

    ``image``: id of an archive's image; ``origin_sha256``: of the file that was given; empty where there is none.
    """

    name: str
    path: Path
    facts: RootFacts
    digest: str
    changed: bool
    image: str = ""
    origin_sha256: str = ""


def import_root(
    path: Path,
    wanted: Wanted,
    prove: Prove,
    *,
    origin: str = "",
    origin_sha256: str = "",
    kernel: str = "",
    more: Mapping[str, Any] = MappingProxyType({}),
    cache: Path | None = None,
) -> Import:
    """Import the root file system in a tar archive, plain or compressed. ``origin``: what it was made of, for people;
    by default the file itself. ``kernel``: release of the kernel that it was seen to run,
    which virtual machines boot where the root has it; ``more``: further keys of the entry.

    Raises:
        UsageError: it is no root that machines can be made of, or its name is something else's.
        AttestationMismatch: it is not what it is said to be.
        InfrastructureError: the engine or the disk refuses.
    """
    with importing(path, "tar", cache) as (place, folder, digest):
        tree, part = Tree(), folder / "copy.tar"
        with open_plain(path) as file, part.open("wb") as copy:
            sha256, _ = take_in(tree, file, copy, path.name)
        imported = Imported(
            form="root",
            sha256=sha256,
            kernel=kernel if boots(tree, kernel) else "",
            origin=origin or f"root file system {one_line(path.name, 100)}, SHA-256 {digest}",
            origin_sha256=origin_sha256 or ("" if origin else digest),
        )
        return _kept(imported, tree, wanted, prove, place, part, path.name, more=more)


def import_archive(path: Path, wanted: Wanted, prove: Prove, *, image: str = "", cache: Path | None = None) -> Import:
    """Import an image of an archive of docker save, or of the OCI image layout. ``image``: its id, or how that begins.

    Raises:
        UsageError: it is no such archive, or several images fit; else as ``import_root``.
        AttestationMismatch: it is not what it is said to be.
        InfrastructureError: the engine or the disk refuses.
    """
    with importing(path, "tar", cache) as (place, folder, digest):
        part = folder / "copy.tar"
        with opened(path, part.with_name("plain")) as archive, part.open("wb") as copy:
            chosen = archive.choose(image, wanted.architecture)
            tree = take_image(archive, chosen, copy, part.with_name("layer"))
        imported = Imported(
            form="image",
            sha256=digest_of_file(part),
            image=chosen.id,
            origin=f"image {chosen.id} of {one_line(path.name, 100)}, SHA-256 {digest}",
            origin_sha256=digest,
        )
        return _kept(imported, tree, wanted, prove, place, part, path.name, said=chosen.architecture)


def _kept(
    imported: Imported,
    tree: Tree,
    wanted: Wanted,
    prove: Prove,
    cache: Path,
    part: Path,
    what: str,
    *,
    said: str = "",
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Import:
    """The entry of what was read, once everything holds. ``said``: the architecture that an image's configuration
    names."""
    facts = facts_of(tree, what)
    if said and said != facts.architecture:
        raise UsageError(
            f"{what}: the image says that it is of {said}, its programs are of {facts.architecture}",
            advice="ask whoever made the image; nothing was written",
        )
    demand(wanted, facts, tree, what)
    value = imported.model_dump(exclude_defaults=True)
    with in_turn(cache):
        entry = draft(wanted, facts, "imported", value, f"{ATTESTED}: {imported.origin}", more)
        there = entry.system.import_of(facts.architecture)
        if there is not None and there.sha256 != imported.sha256:  # a disk whose files were taken before
            return _again(entry, facts, there, prove, cache)
        was_kept = kept_file(cache, imported.sha256).is_file()
        keep(cache, part, imported.sha256)
        try:
            prove(entry.system, facts.architecture)
            entry.write()
        except BaseException:
            if not was_kept:
                kept_file(cache, imported.sha256).unlink(missing_ok=True)
            raise
    return result_of(entry, facts, imported.sha256, imported)


def _again(entry: Draft, facts: RootFacts, there: Imported, prove: Prove, cache: Path) -> Import:
    """A disk that was imported before, as it was then."""
    if not kept_file(cache, there.sha256).is_file():
        raise UsageError(
            f"{entry.path}: the copy of this disk is not in the cache any more; its files are others after each boot",
            advice="take them anew: --replace",
        )
    prove(entry.system, facts.architecture)
    return result_of(entry, facts, there.sha256, there)


def result_of(entry: Draft, facts: RootFacts, digest: str, imported: Imported | None = None) -> Import:
    """What an import gives; ``imported``: what was kept of it."""
    return Import(
        name=entry.system.os,
        path=entry.path,
        facts=facts,
        digest=digest,
        changed=entry.changed,
        image=imported.image if imported is not None else "",
        origin_sha256=imported.origin_sha256 if imported is not None else "",
    )


@contextlib.contextmanager
def importing(path: Path, kind: Kind, cache: Path | None) -> Iterator[tuple[Path, Path, str]]:
    """The cache, a folder there for copies, which is gone afterwards, and the SHA-256 of what is imported. ``kind``:
    what the command takes.

    Raises:
        UsageError: there is no such file.
    """
    place = cache or cache_folder()
    try:
        demand_kind(path, kind)
        digest = digest_of_file(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be imported: {error.strerror or error}", advice="give the path of a file that can be read"
        ) from error
    folder = place / "tmp" / f"import-{secrets.token_hex(4)}-{own_name()}"
    folder.mkdir(parents=True)
    try:
        yield place, folder, digest
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def in_turn(cache: Path) -> Iterator[None]:
    """Two imports into a folder at once would not see each other's entry."""
    with lock(cache / "locks" / "import", holder="harness targets import"):
        yield
