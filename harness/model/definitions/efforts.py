"""What porting work costs: assumptions of whoever plans, in person-days."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, listed

#: What is to be done about a finding.
Work = Literal["build", "replace", "edit", "database", "package", "look"]
Days = Annotated[tuple[float, ...], BeforeValidator(listed), Field(min_length=2, max_length=2)]


class Effort(Definition):
    """Person-days of a piece of work, each at the least and at the most."""

    first: Days = Field(description="for the first file or dependency: to understand, to set up, to try")
    more: Days = Field(description="for each further one")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for least, most in (self.first, self.more):
            if not 0 <= least <= most <= 1000:
                raise ValueError(f"[{least:g}, {most:g}]: give the least number of days, then the most, up to 1000")
        return self

    def days(self, count: int) -> tuple[float, float]:
        """The least and the most for ``count`` files or dependencies."""
        least, most = (first + more * (count - 1) for first, more in zip(self.first, self.more, strict=True))
        return (least, most) if count else (0.0, 0.0)


class Efforts(Definition):
    """``reports/efforts.yaml``: what the plan of a static scan reckons with."""

    efforts: dict[Work, Effort]

    @model_validator(mode="after")
    def _all(self) -> Self:
        if missing := sorted(set(get_args(Work)) - self.efforts.keys()):
            raise ValueError(f"efforts of {', '.join(missing)} are missing")
        return self
