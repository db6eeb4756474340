"""The list of a delivery package: which files lie in which of its parts, by SHA-256."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The list itself, and the digests of one part as ``sha256sum --check`` takes them; both lie in every part.
INDEX = "package.json"
SUMS = "SHA256SUMS"
#: Folders of a package beside what was rendered: evidence of the cells, and files that were laid in.
EVIDENCE, FURTHER = "evidence", "further"
MOST_MEMBERS = 200_000

_Text = Annotated[str, Field(max_length=1000)]


class Member(BaseModel):
    """A file of a package."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=500)]  #: path in the archive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]  #: bytes

    @model_validator(mode="after")
    def _inside(self) -> Self:
        path = PurePosixPath(self.name)
        if path.is_absolute() or ".." in path.parts or str(path) != self.name or "\\" in self.name:
            raise ValueError(f"{self.name!r} leads out of the package")
        return self


class Part(BaseModel):
    """One archive of a package."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    file: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]{1,200}\.zip$")]
    members: Annotated[tuple[Member, ...], Field(max_length=MOST_MEMBERS, strict=False)]


class PackageList(BaseModel):
    """``package.json``. ``evidence``: whether the evidence of the cells is in it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    form: Literal[1] = 1
    campaign: _Text
    product: _Text
    version: _Text
    evidence: bool
    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=999, strict=False)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [member.name for part in self.parts for member in part.members]
        files = [part.file for part in self.parts]
        if len(set(names)) != len(names) or len(set(files)) != len(files):
            raise ValueError("a name stands in it twice")
        return self
