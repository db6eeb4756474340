"""What a laboratory has of databases (databases.yaml): servers that stand, and images that servers are made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Definition, Name, PlacedError, listed
from harness.model.definitions.endpoint import DriverName, Endpoint, Reference

_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


class DatabaseImage(Definition):
    """An image of a database server that a laboratory has: an archive, or a reference with its digest."""

    image: Name
    database: Name = Field(description="entry of the catalogue that it is, as the axis names it")
    architecture: Architecture = Field(description="that it is built for")
    archive: str = Field(default="", description="file that docker save or the vendor wrote, beside databases.yaml")
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", description="of the archive")
    reference: str = Field(default="", description="REGISTRY/NAME@sha256:DIGEST")
    licence: Reference | None = Field(default=None, description="its licence file, by reference; it is not kept")
    driver: DriverName | None = Field(default=None, description="where it is another one than the entry's")
    declared: str = Field(default="", description="version that it must show, beside what the entry declares")
    settings: dict[str, str] = Field(default={}, description="name -> value that it must show, likewise")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if bool(self.archive) == bool(self.reference):
            raise PlacedError("give one of archive and reference", "image")
        if bool(self.archive) != bool(self.sha256):
            raise PlacedError(
                "an archive and its sha256 belong together: sha256sum FILE", "archive" if self.archive else "sha256"
            )
        if self.reference and not _DIGEST.fullmatch(self.reference):
            raise PlacedError(
                "a tag is another image tomorrow: name it by its digest, REGISTRY/NAME@sha256:… (docker buildx "
                "imagetools inspect NAME:TAG prints it)",
                "reference",
            )
        return self


class Databases(Definition):
    """The databases of a laboratory (databases.yaml). Paths that are relative are beside the file."""

    databases: Annotated[tuple[Endpoint, ...], BeforeValidator(listed)] = Field(
        default=(), description="servers that stand"
    )
    images: Annotated[tuple[DatabaseImage, ...], BeforeValidator(listed)] = Field(
        default=(), description="images of vendors, of which a cell gets a server of its own"
    )

    def beside(self, folder: Path) -> Databases:
        """The same, with paths of images that hold from anywhere; ``folder`` is that of the file."""
        return self.model_copy(update={"images": tuple(_placed(image, folder) for image in self.images)})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.databases and not self.images:
            raise ValueError("it names nothing: give databases, or images")
        for key, names in (
            ("databases", [endpoint.endpoint for endpoint in self.databases]),
            ("images", [image.image for image in self.images]),
        ):
            for index, name in enumerate(names):
                if name in names[:index]:
                    word = "endpoint" if key == "databases" else "image"
                    raise PlacedError(f"{word} named twice: {name}", key, index, word)
        return self


def _placed(image: DatabaseImage, folder: Path) -> DatabaseImage:
    licence, archive = image.licence, image.archive
    if licence is not None and licence.startswith("file:"):
        licence = f"file:{_beside(licence.removeprefix('file:'), folder)}"
    return image.model_copy(
        update={"archive": _beside(archive, folder) if archive else "", "licence": licence},
    )


def _beside(path: str, folder: Path) -> str:
    return str(folder.absolute() / Path(path).expanduser())
