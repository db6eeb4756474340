"""Suites, cases, load profiles."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, PlacedError, SuiteName, Text, listed
from harness.model.definitions.profile import CENTER, Amounts, Profile, filled, named
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
    when: Literal["main", "late", "end", "upgrade"] = Field(
        default="main",
        description="late: after all suites, must leave a product that runs; end: after those, may destroy; "
        "upgrade: on cells that upgrade, by deployment",
    )
    seconds: float = Field(default=60, gt=0, description="limit of each of its tests, scaled by the target's factor")
    center_seconds: float | None = Field(default=None, gt=0, description="in profile center instead of `seconds`")
    absolute: bool = Field(default=False, description="the limit is not scaled: it is part of what is demanded")

    @property
    def texts(self) -> dict[str, Text]:
        """Its texts by their keys, as far as it has them."""
        keys = ("title", "purpose", "preconditions", "steps", "expected", "evidence")
        return {key: text for key in keys if (text := getattr(self, key)) is not None}

    def under(self, profile: Profile, amounts: Amounts) -> Case:
        """It in a profile: with its limit, and with texts that say how much."""
        limit = self.center_seconds if profile == CENTER and self.center_seconds is not None else self.seconds
        texts = {key: filled(text, amounts, profile) for key, text in self.texts.items()}
        return self.model_copy(update={**texts, "seconds": limit})

    @property
    def defect(self) -> DefectSeverity:
        """How grave the defect is that a failure shows."""
        return DefectSeverity(self.severity or ("serious" if self.blocker else "minor"))

    @property
    def measures_performance(self) -> bool:
        """Whether it asks how fast or how sparing the product is, which a busy laboratory hides (GB/T 25000.10)."""
        return self.characteristic.startswith("performance_efficiency")

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
    amounts: Amounts = Field(
        default={},
        description="name -> how much, by the profile of the campaign: `amount(name)` gives it to a test, `{name}` "
        "stands for it in the texts of cases; of a load, the key of `profile` that it replaces",
    )
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
        if self.profile is not None:
            for name, amount in self.amounts.items():
                if name not in LoadProfile.model_fields:
                    raise PlacedError(
                        f"a load has no {name}; there are {', '.join(LoadProfile.model_fields)}", "amounts", name
                    )
                if amount.emulated:
                    raise PlacedError("a load has the same on all targets, but for emulated_rate", "amounts", name)
        for index, case in enumerate(self.cases if self.amounts else ()):
            for key, text in case.texts.items():
                if unknown := sorted(named(text) - self.amounts.keys()):
                    known = ", ".join(self.amounts)
                    raise PlacedError(f"no amount {unknown[0]}; there are {known}", "cases", index, key)
        return self

    def under(self, profile: Profile) -> Suite:
        """The suite in a profile: limits and texts of its cases, and its load, are those of the profile."""
        load = self.profile
        if load is not None and self.amounts:
            values = {name: amount.of[profile] for name, amount in self.amounts.items()}
            load = LoadProfile.model_validate(
                {**load.model_dump(), **values, "users": int(values.get("users", load.users))}
            )
        cases = tuple(case.under(profile, self.amounts) for case in self.cases)
        return self.model_copy(update={"cases": cases, "profile": load})

    def amount(self, name: str, profile: Profile, *, emulated: bool) -> float:
        """How much, in a profile.

        Raises:
            KeyError: the suite has no such amount.
        """
        return self.amounts[name].value(profile, emulated=emulated)


class RateSearch(Definition):
    """A search for the rate at which the limits of a profile are left: loads of a few seconds, one after the other.

    Rates are requests a second, times are seconds.
    """

    least: float = Field(gt=0, le=10_000, description="the first rate; it is doubled until the limits are left")
    most: float = Field(gt=0, le=10_000, description="no rate is higher")
    seconds: float = Field(default=5, gt=0, le=3600, description="of the hold of each load")
    precision: float = Field(default=0.1, gt=0, le=1, description="share between the rates that hold and do not")
    beyond: float = Field(default=1.5, gt=1, le=10, description="times the rate that held, for the load beyond it")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.most < self.least:
            raise PlacedError(f"most ({self.most:g}) is below least ({self.least:g})", "most")
        return self


class LoadProfile(Definition):
    """Open-model load: a rate that is ramped up and held, and the thresholds of the hold.

    Rates are requests a second, times are seconds, latencies milliseconds from the *intended* start.
    """

    rate: float = Field(gt=0, le=10_000)
    emulated_rate: float | None = Field(
        default=None,
        gt=0,
        description="instead of rate on emulated targets, and at most: three requests before tell what they bear",
    )
    ramp: float = Field(default=3, ge=0, le=3600)
    hold: float = Field(default=10, gt=0, le=86_400)
    users: int = Field(default=20, ge=1, le=2000, description="most requests in flight")
    p95_ms: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    arrivals: Literal["even", "poisson"] = Field(
        default="even",
        description="when requests are due: each after the same time, or by chance, as of people who do not know of "
        "each other; the record holds the seed",
    )
    think: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="closed model: each of `users` waits so many seconds after an answer, and latency counts from the "
        "request; `rate` is then the least throughput. Without it the model is open",
    )
    repetitions: int = Field(
        default=1, ge=1, le=10, description="loads, one after the other; their samples count together"
    )
    judged_in_containers: bool = Field(
        default=False,
        description="true: how fast the product is counts in containers too; false: it is recorded there, because a "
        "container shares its processors with whatever else the machine does",
    )
    achieved: float = Field(default=0.98, gt=0, le=1, description="least share of the intended rate")
    mix: dict[Literal["create", "read", "update", "delete"], Annotated[float, Field(gt=0)]] | None = Field(
        default=None,
        min_length=1,
        description="action -> weight, for users of harness.runners.locust.mixed; the application declares "
        "`http.resource`",
    )
    search: RateSearch | None = Field(
        default=None, description="the rate is searched for; `rate` is what the product must keep its limits at"
    )
    window: float = Field(default=5, gt=0, le=86_400, description="seconds whose means are compared, for a spread")
    drop: float = Field(default=3, ge=0, le=3600, description="seconds of the hold that do not count, at both ends")
    spread: float = Field(default=5, gt=0, le=100, description="percent that a window may lie off the mean")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.search is not None and (self.think is not None or self.repetitions > 1):
            key = "think" if self.think is not None else "repetitions"
            raise PlacedError(f"a search has an open model and repeats loads itself: no {key}", key)
        return self


Suite.model_rebuild()
