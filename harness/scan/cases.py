"""Findings as results: of the cases of one cell, and under waivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.model.definitions import Case, Waiver
from harness.model.finding import Finding, ScanResult
from harness.model.results import Cause, Observation, Result, SkipReason

#: Findings of a case that are told in its detail; the evidence holds all.
TOLD = 25


def concerning(result: ScanResult, axes: Mapping[str, str], architecture: str) -> list[Finding]:
    """The findings that matter to a cell."""
    return [one for one in result.findings if any(target.holds(axes, architecture) for target in one.targets)]


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
                case=one.id,
                suite=suite,
                result=Result.SKIP,
                skip_reason=SkipReason.NOT_APPLICABLE,
                detail="not-applicable: the product has no file that could be scanned",
            )
            for one in cases
        ]
    mine = concerning(result, axes, architecture)
    detectors = {rule.id: rule.detect for rule in result.rules}
    seconds = result.seconds / max(1, len(cases))
    seen = []
    for case in cases:
        found = [one for one in mine if one.rule == case.id]
        against = [one for one in found if one.severity != "info" and (one.severity == "blocker" or not case.blocker)]
        told = [f"{one.where}: {one.message}" for one in sorted(found, key=lambda one: one not in against)]
        detail = "\n".join(told[:TOLD]) + (
            f"\nand {len(told) - TOLD} more: see the evidence" if len(told) > TOLD else ""
        )
        kind, cause = Result.FAIL if against else Result.PASS, None
        if detectors.get(case.id) == "unread" and found:
            kind, cause = Result.ERROR, Cause.CONFIG
        elif found and not against:
            detail = f"noted, does not count against it:\n{detail}"
        seen.append(
            Observation(
                case=case.id,
                suite=suite,
                result=kind,
                cause=cause,
                seconds=seconds,
                detail=detail,
                evidence=evidence if found else (),
            )
        )
    return seen


def accepts(waiver: Waiver, one: Finding, axes: Mapping[str, str] | None = None) -> bool:
    """Whether a waiver speaks of a finding on a cell; without ``axes``, of all targets that the finding is about."""
    if waiver.case not in (one.rule, "*"):
        return False
    if not waiver.accepts_file(one.file):
        return False
    if axes is not None:
        return all(axes.get(axis) == value for axis, value in waiver.when.items())
    return (
        all(
            any(target.kind == axis and target.name == value for axis, value in waiver.when.items())
            for target in one.targets
        )
        if waiver.when
        else True
    )


def split(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> tuple[list[Finding], list[tuple[Finding, Waiver]]]:
    """Findings that stand, and those that a waiver accepts; the waivers are those that hold today."""
    stand: list[Finding] = []
    waived: list[tuple[Finding, Waiver]] = []
    for one in findings:
        waiver = next((w for w in waivers if accepts(w, one)), None)
        if waiver is None:
            stand.append(one)
        else:
            waived.append((one, waiver))
    return stand, waived


def covers(waiver: Waiver, findings: Iterable[Finding], case: str, axes: Mapping[str, str]) -> bool:
    """Whether a waiver that names files accepts every finding of a case on a cell that counts against it."""
    mine = [one for one in findings if one.rule == case and one.severity == "blocker"]
    return bool(mine) and all(accepts(waiver, one, axes) for one in mine)
