"""Suites, cases, load profiles."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, SuiteName, listed
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.results import DefectSeverity, Fidelity


def _known_runner(name: str) -> str:
    if name not in RUNNER_KINDS:
        raise ValueError(f"no such runner: {name}; there are {', '.join(RUNNER_KINDS)}")
    return name


#: Name of a runner in ``harness.model.definitions.runners``.
RunnerName = Annotated[str, AfterValidator(_known_runner), Field(json_schema_extra={"enum": list(RUNNER_KINDS)})]


#: A foreign processor is emulated there, or nothing runs: times and rates show nothing of the declared hardware.
_EMULATED = (Fidelity.SYSTEM_EMULATED, Fidelity.USER_EMULATED)


class Case(Definition):
    """One check: what it is for, which clause it serves, whether it can block a certificate."""

    id: str = Field(pattern="^[A-Z][A-Z0-9]*-[0-9A-Z\u3400-\u9fff-]+$")
    test: str = Field(
        description="exact name of the test function (`test_a`, `TestB::test_a`, `deep/test_c.py::TestB::test_a`; all "
        "its parameters are meant), or of the load criterion"
    )
    title: Bilingual
    severity: Literal["fatal", "serious", "minor", "suggestion"] | None = Field(
        default=None, description="of the defect that a failure shows; else serious for a blocker, minor otherwise"
    )
    purpose: Bilingual | None = None
    preconditions: Bilingual | None = Field(default=None, description="where they are more than a deployed product")
    steps: Bilingual | None = Field(default=None, description="what is done, for reports; the test itself is the law")
    expected: Bilingual | None = None
    evidence: Bilingual | None = Field(default=None, description="what it leaves for a reader who doubts the result")
    characteristic: str = Field(pattern=r"^[a-z_]+(/[a-z_]+)?$", description="GB/T 25000.10-2016")
    clause: str = Field(description="clause of GB/T 25000.51-2016")
    blocker: bool
    certifies_emulated: bool = Field(default=True, description="false: recorded, but certifies nothing")
    when: Literal["main", "end", "upgrade"] = Field(
        default="main", description="end: after all suites, may destroy; upgrade: on cells that upgrade, by deployment"
    )
    seconds: float = Field(default=60, gt=0, description="limit of each of its tests, scaled by the target's factor")
    absolute: bool = Field(default=False, description="the limit is not scaled: it is part of what is demanded")

    @property
    def defect(self) -> DefectSeverity:
        """How grave the defect is that a failure shows."""
        return DefectSeverity(self.severity or ("serious" if self.blocker else "minor"))

    def certifies_on(self, *, reads_files: bool) -> tuple[Fidelity, ...]:
        """The fidelities of a target that can show it. On the others its result is recorded and decides nothing."""
        if reads_files:
            return (Fidelity.STATIC,)
        ran = tuple(fidelity for fidelity in Fidelity if fidelity is not Fidelity.STATIC)
        return ran if self.certifies_emulated else tuple(f for f in ran if f not in _EMULATED)


class Suite(Definition):
    """A set of checks in one folder."""

    suite: SuiteName
    version: str
    title: Bilingual
    runner: RunnerName
    method: str = Field(default="", description="standard or method the suite follows")
    locustfile: str = "locustfile.py"
    profile: LoadProfile | None = None
    cases: Annotated[tuple[Case, ...], BeforeValidator(listed)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field in ("id", "test"):
            values = [getattr(case, field) for case in self.cases]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{field} used twice: {', '.join(twice)}")
        if RUNNER_KINDS[self.runner].profile != (self.profile is not None):
            loads = ", ".join(f"`runner: {name}`" for name, kind in RUNNER_KINDS.items() if kind.profile)
            raise ValueError(f"`profile` belongs to {loads}, and only there")
        return self


class LoadProfile(Definition):
    """Open-model load: a rate that is ramped up and held, and the thresholds of the hold.

    Rates are requests a second, times are seconds, latencies milliseconds from the *intended* start.
    """

    rate: float = Field(gt=0, le=10_000)
    emulated_rate: float | None = Field(default=None, gt=0, description="instead of rate on emulated targets")
    ramp: float = Field(default=3, ge=0, le=3600)
    hold: float = Field(default=10, gt=0, le=86_400)
    users: int = Field(default=20, ge=1, le=2000, description="most requests in flight")
    p95_ms: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    achieved: float = Field(default=0.98, gt=0, le=1, description="least share of the intended rate")


Suite.model_rebuild()
