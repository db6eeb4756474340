"""Turns findings into the observations of a cell, and holds waivers against findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.model.definitions import Case, Waiver
from harness.model.finding import Finding, ScanResult
from harness.model.results import Cause, Observation, Result, SkipReason

#: The number of findings that the detail of a case shows; the evidence holds all of them.
SHOWN = 25


def concerning(result: ScanResult, axes: Mapping[str, str], architecture: str) -> list[Finding]:
    """The findings about a target that the cell has."""
    return [
        finding for finding in result.findings if any(target.holds(axes, architecture) for target in finding.targets)
    ]


def observations(
    suite: str,
    cases: Sequence[Case],
    result: ScanResult | None,
    axes: Mapping[str, str],
    architecture: str,
    evidence: tuple[str, ...] = (),
) -> list[Observation]:
    """The observation of each case on one cell, from the findings of the scan.

    A case whose rule may block fails only if one of its findings blocks; its detail names the other findings, which do
    not count. A file that the scan could not read gives its case an error, because nothing is known of that file.

    Args:
        suite: The name of the suite.
        cases: Its cases; the id of a case is the id of a rule.
        result: The result of the scan; None where the product has no file to scan.
        axes: The values of the cell's axes, by axis.
        architecture: The architecture of the cell's CPU.
        evidence: SHA-256 of the evidence, which each case with findings refers to.
    """
    if result is None:
        return [_without_files(suite, case) for case in cases]
    relevant = concerning(result, axes, architecture)
    detectors = {rule.id: rule.detect for rule in result.rules}
    seconds = result.seconds / max(1, len(cases))
    return [
        _observation(
            suite,
            case,
            [finding for finding in relevant if finding.rule == case.id],
            unread=detectors.get(case.id) == "unread",
            seconds=seconds,
            evidence=evidence,
        )
        for case in cases
    ]


def _without_files(suite: str, case: Case) -> Observation:
    """The observation of a case where the product has no file to scan."""
    return Observation(
        case=case.id,
        suite=suite,
        result=Result.SKIP,
        skip_reason=SkipReason.NOT_APPLICABLE,
        detail="not-applicable: the product has no file that could be scanned",
    )


def _observation(
    suite: str,
    case: Case,
    findings: Sequence[Finding],
    *,
    unread: bool,
    seconds: float,
    evidence: tuple[str, ...],
) -> Observation:
    """The observation of a case from its findings. ``unread``: these are files that the scan could not read."""
    against = [
        finding
        for finding in findings
        if finding.severity != "info" and (finding.severity == "blocker" or not case.blocker)
    ]
    lines = [f"{finding.where}: {finding.message}" for finding in sorted(findings, key=lambda f: f not in against)]
    detail = "\n".join(lines[:SHOWN]) + (
        f"\nand {len(lines) - SHOWN} more: see the evidence" if len(lines) > SHOWN else ""
    )
    kind, cause = Result.FAIL if against else Result.PASS, None
    if unread and findings:
        kind, cause = Result.ERROR, Cause.CONFIG
    elif findings and not against:
        detail = f"noted, does not count against it:\n{detail}"
    return Observation(
        case=case.id,
        suite=suite,
        result=kind,
        cause=cause,
        seconds=seconds,
        detail=detail,
        evidence=evidence if findings else (),
    )


def accepts(waiver: Waiver, finding: Finding, axes: Mapping[str, str] | None = None) -> bool:
    """Whether a waiver accepts a finding on a cell; without ``axes``, on every target that the finding concerns."""
    if waiver.case not in (finding.rule, "*"):
        return False
    if not waiver.accepts_file(finding.file):
        return False
    if axes is not None:
        return all(axes.get(axis) == value for axis, value in waiver.when.items())
    return (
        all(
            any(target.kind == axis and target.name == value for axis, value in waiver.when.items())
            for target in finding.targets
        )
        if waiver.when
        else True
    )


def split(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> tuple[list[Finding], list[tuple[Finding, Waiver]]]:
    """Split findings into those that stand, and those that a waiver accepts, with that waiver.

    ``waivers``: the waivers that hold today.
    """
    stand: list[Finding] = []
    waived: list[tuple[Finding, Waiver]] = []
    for finding in findings:
        waiver = next((w for w in waivers if accepts(w, finding)), None)
        if waiver is None:
            stand.append(finding)
        else:
            waived.append((finding, waiver))
    return stand, waived


def covers(waiver: Waiver, findings: Iterable[Finding], case: str, axes: Mapping[str, str]) -> bool:
    """Whether a waiver that names files accepts every finding of a case on a cell that counts against it."""
    blockers = [finding for finding in findings if finding.rule == case and finding.severity == "blocker"]
    return bool(blockers) and all(accepts(waiver, finding, axes) for finding in blockers)
