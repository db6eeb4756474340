"""What a gate decides by: waivers and the policy."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from harness.model.definitions.base import Definition, Name, Strings, listed


def _date(value: Any) -> Any:
    """YAML gives a date as a date; JSON has text only."""
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
        """Whether it has not expired on that day."""
        return day <= self.expires

    def speaks_of(self, axes: Mapping[str, str], suite: str, case: str) -> bool:
        """Whether case, suite and cell are in its scope; its files and its date are other questions."""
        return (
            self.case in (case, "*")
            and self.suite in (suite, None)
            and all(axes.get(axis) == value for axis, value in self.when.items())
        )

    def concerns(self, axes: Mapping[str, str], suite: str, case: str) -> bool:
        """Whether it accepts the case as such: a waiver that names files accepts findings, see ``covers``."""
        return not self.files and self.speaks_of(axes, suite, case)

    def accepts_file(self, file: str) -> bool:
        """Whether a finding in this file is in its scope; without ``files`` every finding is."""
        return not self.files or any(fnmatch.fnmatchcase(file, pattern) for pattern in self.files)

    def covers(self, axes: Mapping[str, str], suite: str, case: str, against: Sequence[str] | None) -> bool:
        """Whether it accepts a case of which findings in the files ``against`` count; None: the files are not known.

        A waiver that names files accepts a case only where every finding against it lies in them.
        """
        if not self.files:
            return self.concerns(axes, suite, case)
        return bool(against) and self.speaks_of(axes, suite, case) and all(map(self.accepts_file, against or ()))


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
    performance: Literal["required", "noted"] = Field(
        default="noted",
        description="a case of performance that was recorded only, or not judged because the laboratory was busy; "
        "required: it leaves the gate undecided",
    )
    cells: Strings = Field(default=(), description="AXIS=VALUE of cells that decide; none: all cells")
    unsteady: Literal["pass", "fail"] = Field(default="pass", description="a cell that passed only after a failure")
    untested: Literal["pass", "fail"] = Field(default="fail", description="planned cells that were not run")
    slower_percent: float | None = Field(
        default=None, gt=0, description="with a baseline: a measurement in s or ms that grew by more closes the gate"
    )
