"""What is installed into an environment; its digest is the key of the cache."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.attestation import Executions
from harness.system.canonical import digest_of

#: Raised when the way environments are made changes, so that old ones are not taken for new ones.
REVISION = 8
#: How a note begins that says what a base image was made of, where it was not built here from packages.
BROUGHT_FROM = ("imported 导入: ", "pulled by digest: ")


def is_brought(notes: Iterable[str]) -> bool:
    """Whether notes say that a system was imported or pulled."""
    return any(note.startswith(BROUGHT_FROM) for note in notes)


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """A file for the environment: content as text, or an artifact of the product on this machine."""

    path: str
    mode: str = "0644"
    content: str = ""
    source: Path | None = None
    wheel: str = ""  #: in place of ``source``: NAME==VERSION at the Python package index
    sha256: str = ""  #: of ``source``, or of the wheel
    strip: int = 0  #: leading folders of an archive that are left out
    beneath: bool = False  #: whether it is what the product stands on, and not the product's


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One environment: files, packages, then commands, on the base image of (os, architecture).

    ``cpu`` is set where the product brings its own packages: their maintainer scripts run as that class.
    """

    name: str
    os: str
    architecture: str
    before: tuple[RecipeFile, ...] = ()
    packages: tuple[str, ...] = ()
    package_files: tuple[RecipeFile, ...] = ()
    copies: tuple[RecipeFile, ...] = ()
    archives: tuple[RecipeFile, ...] = ()  #: unpacked into the folder ``path``
    images: tuple[RecipeFile, ...] = ()  #: archives of container images: what it is made of, or loaded on a host
    commands: tuple[str, ...] = ()
    cpu: str | None = None
    #: Those of ``packages`` that the catalogue asks for (runtime, middleware, database), not the product.
    beneath: tuple[str, ...] = ()
    beneath_commands: tuple[str, ...] = ()  #: of the catalogue too: after the packages, before the product's own files

    #: How many times longer than on this machine a step may take; no part of the key.
    patience: float = 1.0

    def _beneath(self) -> list[str]:
        return [name for name in self.packages if name in self.beneath]

    def key(self, base_digest: str) -> str:
        """SHA-256 (hex) over the base image and everything that goes in."""

        def files(group: tuple[RecipeFile, ...]) -> list[list[str]]:
            return [[f.path, f.mode, f.content, f.sha256, str(f.strip)] for f in group]

        return digest_of(
            [
                REVISION,
                base_digest,
                self.os,
                self.architecture,
                files(self.before),
                list(self.packages),
                files(self.package_files),
                files(self.copies),
                files(self.archives),
                list(self.commands),
                self.cpu,
                *([files(self.images)] if self.images else []),
                *([{"beneath": list(self.beneath_commands)}] if self.beneath_commands else []),
                # What is beneath comes first, and before the list of what the product came to is written.
                *([{"beneath packages": beneath}] if (beneath := self._beneath()) else []),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class ServerImage:
    """An image of a vendor that a server's machine is made of as it is: an archive with its SHA-256, or a reference
    with its digest. ``shared``: bytes of /dev/shm."""

    name: str
    archive: Path | None = None
    sha256: str = ""
    reference: str = ""
    shared: int = 0
    ulimits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageStart:
    """How an image starts its first program, and as whom, as its configuration says (OCI image specification)."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    folder: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, kw_only=True)
class PackageFact:
    """An installed package as the package manager knows it; ``sha256`` of the package file where known.

    ``asked``: what of a definition it came for, where that is not its name: a group, a module, a capability, a virtual
    package, a name with a version. Groups and modules, which begin with ``@``, may be several, with blanks between.
    ``signature``: what the installation of a package file of the product showed: its signature, scripts that failed.
    """

    name: str
    version: str
    architecture: str
    sha256: str = ""
    asked: str = ""
    signature: str = ""

    def came_for(self, names: Collection[str]) -> bool:
        """Whether it is what ``names`` of a definition ask for."""
        # Blanks may be part of what was asked for: "@Development Tools", "libfoo >= 2".
        return self.name in names or any(word in names for word in re.split(r"\s+(?=@)", self.asked) if word)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A made environment: the image, where it came from, and what is in it."""

    image: str
    key: str
    cached: bool
    seconds: float
    packages: tuple[PackageFact, ...] = ()
    notes: tuple[str, ...] = ()
    #: What ran while it was installed; None where nothing but the target's own programs can run there.
    executions: Executions | None = None
    started: ImageStart | None = None  #: of a vendor's image that a server's machine is made of as it is
