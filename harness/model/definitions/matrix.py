"""The matrix: axes, exclusions, inclusions, adjustments, suites, accepted risks."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.model.definitions.base import (
    Bilingual,
    Definition,
    Name,
    Strings,
    listed,
)


class Exclude(BaseModel):
    """Axis values of cells that are left out, and why."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    because: str = Field(min_length=1)

    @property
    def axes(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Adjust(Definition):
    """Settings of the cells where ``when`` holds, and why."""

    when: dict[str, str]
    set: Adjustment
    because: str = Field(min_length=1)


class Adjustment(Definition):
    """What an adjust may change."""

    timeout_factor: float | None = Field(default=None, ge=1, le=100)
    suites: Annotated[tuple[str, ...] | None, BeforeValidator(listed)] = None


class Strategy(Definition):
    """How the cells are chosen from the axes; this version knows ``full``."""

    kind: Literal["full"] = "full"


class Accept(Definition):
    """A risk that the author takes on purpose; it is written into the evidence when it is used."""

    expired_release: Name = Field(description="operating system whose expired release file is accepted")
    because: str = Field(min_length=1)


class Matrix(Definition):
    """What to test on what."""

    matrix: Name
    title: Bilingual | None = None
    application: str = "application.yaml"
    axes: dict[str, Strings]
    exclude: Annotated[tuple[Exclude, ...], BeforeValidator(listed)] = ()
    include: Annotated[tuple[dict[str, str], ...], BeforeValidator(listed)] = ()
    adjust: Annotated[tuple[Adjust, ...], BeforeValidator(listed)] = ()
    strategy: Strategy = Strategy()
    suites: Strings = Field(min_length=1)
    accept: Annotated[tuple[Accept, ...], BeforeValidator(listed)] = ()

    @model_validator(mode="after")
    def _axes(self) -> Self:
        for axis in ("os", "cpu", "database"):
            if axis not in self.axes:
                raise ValueError(f"axis {axis} is missing")
        for axis, values in self.axes.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", axis):
                raise ValueError(f"axis name {axis!r} is not lower-case letters, digits and _")
            if not values:
                raise ValueError(f"axis {axis} has no value")
            if len(set(values)) != len(values):
                raise ValueError(f"axis {axis} names a value twice")
        return self


Adjust.model_rebuild()
