"""A campaign as reports show it: the only source of every number and word that is rendered.

Plain frozen values, built from records alone by ``harness.report.build_view``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.model.definitions import CENTER, SELF_TEST, Text
from harness.model.definitions.matrix import NO_DATABASE
from harness.model.reasons import reasons_of
from harness.model.results import Cause, DefectSeverity, Fidelity, Measurement, Result, SkipReason, Verdict
from harness.model.timeline import Timeline

#: The suite of the steps of a deployment, which every cell has and no matrix asks for.
DEPLOYMENT_SUITE = "deployment"


@dataclass(frozen=True, kw_only=True)
class FileView:
    """A piece of evidence."""

    name: str
    sha256: str
    size: int
    media: str


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case in one attempt, with what it was for."""

    suite: str
    id: str
    test: str
    title: Text
    severity: DefectSeverity  #: of the defect that a failure shows
    purpose: Text | None
    preconditions: Text | None
    steps: Text | None
    expected: Text | None
    leaves: Text | None  #: what evidence it is to leave
    characteristic: str
    clause: str
    blocker: bool
    decides: bool  #: whether it may decide on this target
    fidelity: Fidelity | None  #: static where files were read and nothing ran, else that of the cell
    result: Result
    cause: Cause | None
    skip_reason: SkipReason | None
    seconds: float
    detail: str
    measurements: tuple[Measurement, ...]
    evidence: tuple[FileView, ...]
    #: Of a static case: files with findings that count against it, which waivers may name.
    against: tuple[str, ...] = ()

    @property
    def static(self) -> bool:
        """Whether it is a rule of a static scan: files were read for it, and nothing ran."""
        return self.fidelity is Fidelity.STATIC

    @property
    def label(self) -> str:
        """How it is named in a list of reasons."""
        return self.id


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One attempt at a cell."""

    number: int
    verdict: Verdict
    cause: Cause | None
    message: str
    started: str
    finished: str | None


@dataclass(frozen=True, kw_only=True)
class CellView:
    """One planned cell; ``cases`` are those of its last attempt."""

    id: str
    short: str
    axes: dict[str, str]
    names: dict[str, Text]
    architecture: str
    isa_level: str
    reason: str
    fidelity: Fidelity | None
    verdict: Verdict
    cause: Cause | None
    message: str
    attempts: tuple[AttemptView, ...]
    cases: tuple[CaseView, ...]
    attestation: tuple[dict[str, Any], ...]
    seconds: dict[str, float]
    packages: tuple[dict[str, str], ...]
    database_packages: tuple[dict[str, str], ...]
    foundation_packages: tuple[dict[str, str], ...]  #: of runtime and middleware
    images: tuple[str, ...]
    cached: bool
    emulator: dict[str, str]
    version: str
    limits: tuple[Text, ...]
    notes: tuple[str, ...]
    #: Why the matrix treats this cell otherwise than the others: the ``because`` of each adjust that concerns it.
    adjusted: tuple[str, ...]
    #: Suites of the matrix that are not run on this cell: ``suite`` and ``because``.
    left_out: tuple[dict[str, str], ...]
    #: Waivers that were applied: ``suite``, ``case``, ``because``, ``approved_by``, ``expires``.
    waived: tuple[dict[str, Any], ...]
    files: tuple[FileView, ...]
    loads: dict[str, dict[str, Any]]  #: what each load was and did, by suite
    timelines: tuple[Timeline, ...]
    logs: dict[str, str]
    worker: str = ""  #: of a center, which ran its last attempt; empty where the campaign had one controller

    @property
    def not_applicable(self) -> tuple[CaseView, ...]:
        """Cases of the suites that the matrix asks for and that have no meaning for this cell."""
        return tuple(
            case
            for case in self.cases
            if case.skip_reason is SkipReason.NOT_APPLICABLE and case.suite != DEPLOYMENT_SUITE
        )

    @property
    def quiet(self) -> tuple[CaseView, ...]:
        """Static cases that found nothing: reports name them in one line."""
        return tuple(c for c in self.cases if c.static and c.result is Result.PASS and not c.detail)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason of a cell that is not conformant; what decides nothing on this target is left out."""
        own = (self.message,) if self.message else ()
        if self.verdict not in (Verdict.NONCONFORMANT, Verdict.INCONCLUSIVE):
            return own
        waived = {(waiver["suite"], waiver["case"]) for waiver in self.waived}
        cases = [case for case in self.cases if case.decides and (case.suite, case.id) not in waived]
        covered = self.verdict is Verdict.NONCONFORMANT or any(
            self.message.startswith((f"{case.id} ", *case.detail.strip().splitlines()[:1])) for case in cases
        )
        of_cases = reasons_of(cases)
        return of_cases if of_cases and covered else (*own, *of_cases)

    def count(self, result: Result) -> int:
        """The number of cases with this result, rules of static scans among them."""
        return sum(1 for case in self.cases if case.result is result)

    @property
    def ran(self) -> tuple[CaseView, ...]:
        """Cases for which something ran, or was to run."""
        return tuple(case for case in self.cases if not case.static)

    @property
    def scanned(self) -> tuple[CaseView, ...]:
        """Rules of static scans: files were read, nothing ran."""
        return tuple(case for case in self.cases if case.static)

    @property
    def counts(self) -> dict[Result, int]:
        """By result: how many cases that ran, or were to run; rules of static scans are counted apart."""
        return {result: sum(1 for case in self.ran if case.result is result) for result in Result}

    @property
    def silent(self) -> str:
        """How many of the static rules passed, of how many: ``71/72``; empty where there is none."""
        passed = sum(1 for case in self.scanned if case.result is Result.PASS)
        return f"{passed}/{len(self.scanned)}" if self.scanned else ""

    @property
    def further_axes(self) -> tuple[tuple[str, str], ...]:
        """Axes beside CPU, system and database, with their values."""
        return tuple((k, v) for k, v in self.axes.items() if k not in ("cpu", "os", "database"))

    @property
    def further(self) -> str:
        """The same in one line; empty where there is none."""
        return ", ".join(f"{k}={v}" for k, v in self.further_axes)

    @property
    def isa(self) -> str:
        """Architecture and level of its instruction set."""
        return f"{self.architecture} {self.isa_level}".rstrip()

    @property
    def database(self) -> str:
        """Name (Chinese) and version of the database; a cell without one says so in both languages."""
        name = self.names["database"]
        if self.axes["database"] == NO_DATABASE:
            return f"{name.zh} {name.en}"
        return f"{name.zh} {self.database_version}".rstrip()

    @property
    def unsteady(self) -> bool:
        """Whether it passed only after an attempt at which the product failed."""
        passed = self.verdict in (Verdict.CONFORMANT, Verdict.CONDITIONAL)
        return passed and any(attempt.verdict is Verdict.NONCONFORMANT for attempt in self.attempts[:-1])

    @property
    def database_version(self) -> str:
        """The number in what the database says of its version."""
        match = re.search(r"\d+(?:\.\d+)+", self.fact("database version"))
        return match[0] if match else ""

    def fact(self, name: str) -> str:
        """An observed fact of the application's machine (else of any), empty where there is none."""
        values = [f["observed"] for f in self.attestation if f["name"] == name]
        return str(values[0]) if values else ""


@dataclass(frozen=True, kw_only=True)
class CampaignView:
    """A whole campaign. Cells come in the order of the plan; none of the plan is left out."""

    id: str
    matrix: str
    title: Text
    application: dict[str, Any]
    plan_digest: str
    created: str
    finished: str
    verdict: Verdict
    cells: tuple[CellView, ...]
    #: ``rule``, ``because``, ``count`` of each exclude.
    excluded: tuple[dict[str, Any], ...]
    valid: int  #: combinations that could have been planned
    strategy: str
    pairs: dict[str, int]  #: tuples of ``strength`` axes: ``tuples``, ``covered``, ``never``
    suites: tuple[dict[str, Any], ...]
    conditions: dict[str, Any]
    accepted: tuple[str, ...]
    journal_head: str
    interrupted: bool
    #: What it was tested with: ``kind``, ``name``, ``version``, ``sha256``, ``shipped``, ``origin`` (see
    #: ``harness.model.basis``). An older harness recorded none.
    basis: tuple[dict[str, str], ...] = ()
    profile: str = SELF_TEST  #: self-test or center: how long and how often the suites tested
    unverified: str = ""  #: why what is recorded is not what the events say; empty where it verifies

    @property
    def shortened(self) -> bool:
        """Whether a suite tested for shorter, or less often, than it does in profile center."""
        return self.profile != CENTER and any(suite.get("amounts") for suite in self.suites)

    @property
    def coverage(self) -> dict[str, int]:
        """Counts of the declared cells: tested, waived, not applicable (excluded), not selected, not tested.

        A cell that the strategy did not select is not tested either: nothing is said of it.
        """
        tested = sum(1 for cell in self.cells if cell.verdict is not Verdict.NOT_TESTED)
        excluded = sum(rule["count"] for rule in self.excluded)
        waived = sum(1 for cell in self.cells if cell.waived)
        return {
            "declared": self.valid + excluded,
            "planned": len(self.cells),
            "tested": tested,
            "waived": waived,
            "not_applicable": excluded,
            "not_selected": self.valid - len(self.cells),
            "not_tested": len(self.cells) - tested,
        }

    @property
    def versions(self) -> tuple[str, ...]:
        """Of the product, as they were seen; as declared where nothing was."""
        return tuple(sorted({cell.version for cell in self.cells if cell.version})) or (
            str(self.application["version"]),
        )

    @property
    def noted(self) -> tuple[tuple[CaseView, int], ...]:
        """Static cases with findings that count against no cell: each case once, with the number of its cells."""
        cases_by_id: dict[str, list[CaseView]] = {}
        for cell in self.cells:
            for case in cell.cases:
                if case.fidelity is Fidelity.STATIC and case.detail and case.result is not Result.SKIP:
                    cases_by_id.setdefault(case.id, []).append(case)
        return tuple((cases[0], len(cases)) for cases in cases_by_id.values())

    @property
    def packages(self) -> tuple[dict[str, str], ...]:
        """Every package of the product that was tested, each once."""
        by_identity = {(p["name"], p["version"], p["architecture"]): p for cell in self.cells for p in cell.packages}
        return tuple(by_identity[key] for key in sorted(by_identity))
