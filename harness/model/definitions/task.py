"""Programs without a server: what is run, with which files, and what must come out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, Name, PlacedError, Strings, demand_pattern, listed
from harness.model.definitions.numeric import NumberFile

Comparison = Literal["exact", "text", "numbers", "image"]
#: A path below the task's folder.
_BELOW = r"^[^/].*$"


class Output(Definition):
    """A file that a task writes, and the file that it must be like.

    Numbers are equal where they differ by no more than ``absolute``, or ``relative`` times the expected number, or
    ``ulps`` units in the last place of a double (IEEE 754-2019, 3.4); all else in such a file must be the same words.
    """

    file: str = Field(
        pattern=_BELOW, description="path below the task's folder; `stdout` is what the command prints, `stderr` too"
    )
    expected: str = Field(description="file beside application.yaml")
    compare: Comparison = Field(
        default="exact",
        description="exact: byte for byte. text: lines, without blanks at their ends. numbers: words, with numbers "
        "within the tolerances. image: size and pixels of a PNG, BMP, GIF, TIFF or JPEG file",
    )
    ignore: Strings = Field(
        default=(), description="regular expressions; lines in which one is found count on neither side (dates, times)"
    )
    relative: float = Field(default=0.0, ge=0, lt=1, description="of numbers")
    absolute: float = Field(default=0.0, ge=0, description="of numbers")
    ulps: int = Field(default=0, ge=0, le=2**40, description="of numbers")
    pixels: float = Field(default=0.0, ge=0, lt=1, description="of images: share of pixels that may differ")
    levels: int = Field(default=0, ge=0, le=254, description="of images: levels of 255 that a pixel may be off")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for key, kinds in {
            "relative": ("numbers",),
            "absolute": ("numbers",),
            "ulps": ("numbers",),
            "pixels": ("image",),
            "levels": ("image",),
            "ignore": ("text", "numbers"),
        }.items():
            if getattr(self, key) and self.compare not in kinds:
                raise PlacedError(f"`{key}` belongs to `compare: {' or '.join(kinds)}`, and only there", key)
        for index, pattern in enumerate(self.ignore):
            demand_pattern(pattern, "ignore", index)
        if ".." in self.file.split("/"):
            raise PlacedError("an output lies below the task's folder", "file")
        return self


class Task(Definition):
    """A command that ends by itself."""

    task: Name
    command: str = Field(
        description="template; a line of the shell, run by the product's user in a new folder with the files"
    )
    files: Strings = Field(default=(), description="beside application.yaml; each is there by its last name")
    status: Annotated[tuple[int, ...], BeforeValidator(listed)] = (0,)
    seconds: float = Field(default=60, gt=0, description="limit, scaled by the target's factor")
    outputs: Annotated[tuple[Output, ...], BeforeValidator(listed)] = ()
    numbers: Annotated[tuple[NumberFile, ...], BeforeValidator(listed)] = Field(
        default=(), description="files whose numbers numeric/consistency compares, quantity by quantity"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [path.rstrip("/").rpartition("/")[2] for path in self.files]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise PlacedError(f"two files have the name {', '.join(double)} in the task's folder", "files")
        return self
