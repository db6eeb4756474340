"""The matrix: axes, exclusions, inclusions, adjustments, suites, accepted risks."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from harness.model.definitions.base import Bilingual, Definition, Name, PlacedError, Strings, SuiteName, listed
from harness.model.definitions.gate import Date
from harness.model.definitions.profile import SELF_TEST, Profile

#: The entry of the catalogue that stands for a product without a database.
NO_DATABASE = "none"


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else listed(value)


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=list[str] | str)]


class Exclude(BaseModel):
    """Axis values of cells that are left out, and why; with ``unless``, a rule: if these, then only with those."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    because: str = Field(min_length=1)
    unless: dict[str, OneOrMore] = Field(default={}, description="values of other axes with which it is allowed")

    @property
    def axes(self) -> dict[str, Any]:
        """Axis -> value, or list of values."""
        return dict(self.model_extra or {})


class Adjust(Definition):
    """Settings of the cells where ``when`` holds, and why."""

    when: dict[str, str]
    set: Adjustment
    because: str = Field(min_length=1)


Prefer = Annotated[
    tuple[Literal["host", "container", "vm"], ...],
    BeforeValidator(_one_or_more, json_schema_input_type=list[str] | str),
    Field(min_length=1),
]
PreferDatabase = Annotated[
    tuple[Literal["endpoint", "image", "machine"], ...],
    BeforeValidator(_one_or_more, json_schema_input_type=list[str] | str),
    Field(min_length=1),
]
FidelityWord = Literal["physical", "kvm", "container", "system-emulated", "user-emulated"]


class Adjustment(Definition):
    """What an adjust may change."""

    prefer: Prefer | None = None
    timeout_factor: float | None = Field(default=None, ge=1, le=100)
    suites: Annotated[tuple[SuiteName, ...] | None, BeforeValidator(listed)] = None


class Strategy(Definition):
    """How the cells are chosen from the axes: all of them, or few that contain every valid pair (or larger tuple)."""

    kind: Literal["full", "pairwise", "t-way"] = "full"
    strength: int | None = Field(default=None, ge=1, le=4, description="axes whose values meet; for t-way")
    must: Annotated[tuple[dict[str, str], ...], BeforeValidator(listed)] = Field(
        default=(), description="values of some axes that at least one cell has together"
    )
    seed: int = Field(default=0, ge=0, description="another one chooses other cells of the same quality")

    @model_validator(mode="after")
    def _strength(self) -> Self:
        if (self.kind == "t-way") != (self.strength is not None):
            raise ValueError("strength and kind: t-way belong together")
        return self

    def strength_of(self, axes: int) -> int:
        """How many axes' values meet in every valid combination: all of them where the strategy is full."""
        return {"full": axes, "pairwise": 2, "t-way": self.strength or 2}[self.kind]


class Retries(Definition):
    """How often a cell is tried again, by what went wrong; all attempts are kept and shown."""

    infra: int = Field(default=1, ge=0, le=5, description="after trouble of the lab, if the known-good probe passes")
    fail: int = Field(
        default=0, ge=0, le=5, description="after a failure of the product; a pass then shows as unsteady"
    )


class Accept(Definition):
    """A risk that the author takes on purpose; it is written into the evidence when it is used."""

    expired_release: Name = Field(description="operating system whose expired release file is accepted")
    because: str = Field(min_length=1)


class DatedData(Definition):
    """A file beside the matrix whose content was true on a day."""

    file: str
    date: Date = Field(description="the day on which it was taken, ISO 8601")

    @field_validator("date")
    @classmethod
    def _is_past(cls, value: datetime.date) -> datetime.date:
        """Data of a day to come would never be stale. A day more: not every clock is in one time zone."""
        if value > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
            raise ValueError(f"{value} is a day to come")
        return value


class VulnerabilityData(DatedData):
    """Known vulnerabilities as OSV records, as they were on a day."""

    file: str = Field(description="beside the matrix: a zip of JSON files, a JSON file, or JSON lines")
    days: int = Field(default=30, ge=1, le=3650, description="older than that it is stale: it shows no absence")
    ecosystem: str = Field(
        default="",
        description="the name that OSV gives the system, such as Debian:12; none: of its os-release; Maven, PyPI or "
        "npm: for libraries in the product's files",
    )


class MalwareData(DatedData):
    """Signatures of malware for ClamAV, as they were on a day."""

    file: str = Field(
        pattern=r"\.(cvd|cld|cud|hdb|hsb|mdb|msb|imp|ndb|ldb|cdb|yar|yara)$",
        description="beside the matrix: a database with an ending of ClamAV, as daily.cld or own.hsb",
    )
    days: int = Field(default=7, ge=1, le=3650, description="older than that it is stale: it shows no absence")


class Require(Definition):
    """What a target must be, where cells for which nothing of that kind is found are blocked; and what must be seen."""

    fidelity: Annotated[
        tuple[FidelityWord, ...], BeforeValidator(_one_or_more, json_schema_input_type=list[str] | str)
    ] = ()
    performance: bool = Field(
        default=False,
        description="true: performance is judged in containers too, and a cell is inconclusive where it could not be "
        "because the laboratory was busy; else it is recorded in containers, a cell is judged without what is not "
        "known, and its certificate says so",
    )


class Matrix(Definition):
    """What to test on what."""

    matrix: Name
    title: Bilingual | None = None
    application: str = "application.yaml"
    axes: dict[str, Strings] = Field(default={})
    axes_from: str | None = Field(default=None, description="CSV or XLSX beside the matrix with further axes")
    exclude: Annotated[tuple[Exclude, ...], BeforeValidator(listed)] = ()
    include: Annotated[tuple[dict[str, str], ...], BeforeValidator(listed)] = ()
    include_from: str | None = Field(default=None, description="CSV or XLSX beside the matrix, a row a cell")
    adjust: Annotated[tuple[Adjust, ...], BeforeValidator(listed)] = ()
    prefer: Prefer = Field(
        default=("host", "container", "vm"), description="what serves a cell: the first of these that can"
    )
    prefer_database: PreferDatabase = Field(
        default=("endpoint", "image", "machine"),
        description="what serves the database of a cell: a server of databases.yaml, a container of its vendor's image "
        "there, or a machine of the cell that it is installed on",
    )
    modes: dict[Name, Name] = Field(
        default={}, description="compatibility mode by database, of those that its entry names: kingbase-v8: mysql"
    )
    require: Require = Require()
    strategy: Strategy = Strategy()
    retries: Retries = Retries()
    waivers: str | None = Field(default=None, description="file beside the matrix with the waivers of the product")
    vulnerabilities: Annotated[tuple[VulnerabilityData, ...], BeforeValidator(listed)] = Field(
        default=(), description="for security/product; without it nothing is said of known vulnerabilities"
    )
    malware: Annotated[tuple[MalwareData, ...], BeforeValidator(listed)] = Field(
        default=(), description="for security/product; without it nothing is said of malware"
    )
    suites: Annotated[tuple[SuiteName, ...], BeforeValidator(listed)] = Field(min_length=1)
    reference_cell: dict[str, str] = Field(
        default={},
        description="for numeric/consistency: values of axes, such as the native CPU. The numbers of each cell are "
        "compared with those of the cell that has them, and else the same values",
    )
    profile: Profile = Field(
        default=SELF_TEST,
        description="how long and how often suites test: self-test (minutes), or center (the durations that a center "
        "demands; hours)",
    )
    accept: Annotated[tuple[Accept, ...], BeforeValidator(listed)] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_database(cls, value: Any) -> Any:
        """A matrix without the axis ``database`` is that of a product without one."""
        if not isinstance(value, dict) or not isinstance(value.get("axes"), dict) or "database" in value["axes"]:
            return value
        include = value.get("include")
        if isinstance(include, list):
            include = [{"database": NO_DATABASE, **cell} if isinstance(cell, dict) else cell for cell in include]
            value = {**value, "include": include}
        return {**value, "axes": {**value["axes"], "database": [NO_DATABASE]}}

    @model_validator(mode="after")
    def _axes(self) -> Self:
        for axis in ("os", "cpu"):
            if axis not in self.axes:
                raise PlacedError(f"axis {axis} is missing", "axes")
        for axis, values in self.axes.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", axis):
                raise PlacedError(f"axis name {axis!r} is not lower-case letters, digits and _", "axes", axis)
            if not values:
                raise PlacedError(f"axis {axis} has no value", "axes", axis)
            known: set[str] = set()
            for index, value in enumerate(values):
                if value in known:
                    raise PlacedError(f"axis {axis} names a value twice: {value}", "axes", axis, index)
                known.add(value)
        return self


Adjust.model_rebuild()
