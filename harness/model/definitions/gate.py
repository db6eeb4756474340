"""What a gate decides by: waivers and the policy."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from harness.model.definitions.base import Definition, Name, Strings, listed


def _date(value: Any) -> Any:
    """YAML reads a date as one; JSON has text only."""
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


Date = Annotated[datetime.date, BeforeValidator(_date, json_schema_input_type=str)]


class Waiver(Definition):
    """A known failure that is accepted: where, why, by whom, until when. It never turns a result into a pass."""

    case: str = Field(min_length=1, description="id of the case, or * for every case of the scope")
    suite: str | None = None
    when: dict[str, str] = Field(default={}, description="axis values of the cells; none: all cells")
    files: Strings = Field(
        default=(), description="of a static scan: patterns of files; findings elsewhere are not accepted by it"
    )
    because: str = Field(min_length=1)
    approved_by: str = Field(min_length=1)
    evidence: str = Field(min_length=1, description="where fault and approval are recorded: a ticket, a document")
    expires: Date = Field(description="last day on which it holds, ISO 8601")

    def holds(self, day: datetime.date) -> bool:
        return day <= self.expires

    def concerns(self, axes: dict[str, str], suite: str, case: str) -> bool:
        """Whether it speaks of this case of this cell; its date is another question.

        One that names files speaks of findings, not of a case: ``harness.scan.cases`` says what it accepts.
        """
        return (
            not self.files
            and self.case in (case, "*")
            and self.suite in (suite, None)
            and all(axes.get(axis) == value for axis, value in self.when.items())
        )


class Waivers(Definition):
    """The waivers of a product."""

    waivers: Annotated[tuple[Waiver, ...], BeforeValidator(listed)]


class Policy(Definition):
    """When a gate lets a release through."""

    policy: Name
    verdicts: Annotated[tuple[Literal["conformant", "conditional"], ...], BeforeValidator(listed)] = Field(
        default=("conformant", "conditional"), description="verdicts of a cell that pass"
    )
    not_worse_than_baseline: bool = Field(
        default=False, description="with a baseline, a failure that was there already does not close the gate"
    )
    cells: Strings = Field(default=(), description="AXIS=VALUE of cells that decide; none: all cells")
    unsteady: Literal["pass", "fail"] = Field(default="pass", description="a cell that passed only after a failure")
    untested: Literal["pass", "fail"] = Field(default="fail", description="planned cells that were not run")
    slower_percent: float | None = Field(
        default=None, gt=0, description="with a baseline: a measurement in s or ms that grew by more closes the gate"
    )
