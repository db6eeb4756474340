"""Findings as results: of the cases of one cell, and under waivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.model.definitions import Case, Waiver
from harness.model.finding import Finding, ScanResult
from harness.model.results import Cause, Observation, Result, SkipReason

#: Findings of a case that are told in its detail; the evidence holds all.
SHOWN = 25


def concerning(result: ScanResult, axes: Mapping[str, str], architecture: str) -> list[Finding]:
    """The findings that matter to a cell."""
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
    """What the scan says of each case on one cell; None: there was nothing to scan.

    A case whose rule may block fails only by findings that do; the others are told and do not count. What could not
    be read leaves its case without a result, because nothing is known of it.
    """
    if result is None:
        return [
            Observation(
                case=case.id,
                suite=suite,
                result=Result.SKIP,
                skip_reason=SkipReason.NOT_APPLICABLE,
                detail="not-applicable: the product has no file that could be scanned",
            )
            for case in cases
        ]
    relevant = concerning(result, axes, architecture)
    detectors = {rule.id: rule.detect for rule in result.rules}
    seconds = result.seconds / max(1, len(cases))
    results = []
    for case in cases:
        findings = [finding for finding in relevant if finding.rule == case.id]
        against = [
            finding
            for finding in findings
            if finding.severity != "info" and (finding.severity == "blocker" or not case.blocker)
        ]
        lines = [
            f"{finding.where}: {finding.message}"
            for finding in sorted(findings, key=lambda finding: finding not in against)
        ]
        detail = "\n".join(lines[:SHOWN]) + (
            f"\nand {len(lines) - SHOWN} more: see the evidence" if len(lines) > SHOWN else ""
        )
        kind, cause = Result.FAIL if against else Result.PASS, None
        if detectors.get(case.id) == "unread" and findings:
            kind, cause = Result.ERROR, Cause.CONFIG
        elif findings and not against:
            detail = f"noted, does not count against it:\n{detail}"
        results.append(
            Observation(
                case=case.id,
                suite=suite,
                result=kind,
                cause=cause,
                seconds=seconds,
                detail=detail,
                evidence=evidence if findings else (),
            )
        )
    return results


def accepts(waiver: Waiver, finding: Finding, axes: Mapping[str, str] | None = None) -> bool:
    """Whether a waiver speaks of a finding on a cell; without ``axes``, of all targets that the finding is about."""
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
    """Findings that stand, and those that a waiver accepts; the waivers are those that hold today."""
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
