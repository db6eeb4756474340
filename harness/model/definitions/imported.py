"""What a system was imported from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.model.definitions.base import Definition

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Imported(Definition):
    """An import: the file that machines are made of is kept by its content, on the machine that imported it.

    ``harness targets import`` writes this; what is written by hand names a file that nobody has.
    """

    form: Literal["root", "image"] = Field(description="root: a file system (tar); image: a container image (tar)")
    sha256: Sha256 = Field(description="of the kept file")
    image: str = Field(
        default="", pattern=r"^(sha256:[0-9a-f]{64})?$", description="id of the image: the digest of its configuration"
    )
    kernel: str = Field(
        default="",
        pattern=r"^([0-9A-Za-z][0-9A-Za-z._+~-]{0,79})?$",
        description="that virtual machines boot: of a disk",
    )
    origin: str = Field(min_length=1, max_length=400, description="what was imported, and how, for people")
    origin_sha256: str = Field(
        default="", pattern=r"^([0-9a-f]{64})?$", description="of the file that was imported, as it was given"
    )
