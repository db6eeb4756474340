"""What a gate makes of one cell: every deciding case without a pass counts, whatever the cell's verdict says."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from harness.gating.difference import SECONDS, beyond_noise
from harness.gating.record import CaseRecord, CellRecord
from harness.model.definitions import Policy, Waiver
from harness.model.results import Result, SkipReason, Verdict


@dataclass(frozen=True, kw_only=True)
class GateFinding:
    """One thing that was weighed. ``effect``: closes (the product), undecided (the lab or the plan), noted."""

    effect: str
    cell: str
    case: str
    reason: str

    def __str__(self) -> str:
        return f"{self.cell}{' ' + self.case if self.case else ''}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What a cell is weighed by. ``earlier`` is the same cell of the baseline; ``today`` decides on waivers."""

    policy: Policy
    waivers: tuple[Waiver, ...]
    earlier: CellRecord | None
    today: datetime.date


def weigh(cell: CellRecord, scales: Scales) -> Iterator[GateFinding]:
    """Findings about one cell; none where every deciding case passed."""
    policy = scales.policy
    if cell.unsteady:
        reason = f"passed only at attempt {len(cell.attempts)}: unsteady"
        yield _about(cell, "closes" if policy.unsteady == "fail" else "noted", reason)
    if cell.verdict is Verdict.NOT_TESTED:
        yield _about(cell, "undecided" if policy.untested == "fail" else "noted", "planned, and not tested")
        return
    yield from _unknown(cell)
    for case in cell.cases:
        if case.decides:
            yield from _case(cell, case, scales)
    if cell.verdict is Verdict.INCONCLUSIVE:
        cause = cell.cause.value if cell.cause is not None else "unknown"
        yield _about(cell, "undecided", f"inconclusive ({cause}): {cell.message}")
    elif cell.verdict is Verdict.NONCONFORMANT:
        if not any(case.decides and case.result is Result.FAIL for case in cell.cases):
            yield _about(cell, "closes", cell.message or "nonconformant")
    elif cell.verdict.value not in policy.verdicts:
        reason = f"{cell.verdict.value}: {cell.message}; the policy takes {', '.join(policy.verdicts)}"
        yield _about(cell, "closes", reason)
    if not any(case.decides and case.result in (Result.PASS, Result.FAIL) for case in cell.cases):
        yield _about(cell, "undecided", "no case that decides has run")


def slower(cell: CellRecord, earlier: CellRecord, percent: float) -> Iterator[GateFinding]:
    """Measurements of time that grew by more than ``percent`` and by more than noise."""
    before = {(case.suite, case.id, m.name): m for case in earlier.cases for m in case.measurements}
    for case in cell.cases:
        for now in case.measurements:
            then = before.get((case.suite, case.id, now.name))
            if then is None or now.unit not in SECONDS or now.value <= then.value * (1 + percent / 100):
                continue
            if beyond_noise(then.value, now.value, then.unit, now.unit):
                reason = f"{now.name} {then.value:g} → {now.value:g} {now.unit}: slower by more than {percent:g} %"
                yield _about(cell, "closes", reason, case.id)


def _about(cell: CellRecord, effect: str, reason: str, case: str = "") -> GateFinding:
    return GateFinding(effect=effect, cell=cell.label, case=case, reason=reason)


def _unknown(cell: CellRecord) -> Iterator[GateFinding]:
    """Deciding cases in error or miss, those of one reason together: what stops a cell stops most of its cases.

    Nothing accepts them, no waiver and no baseline: nothing is known there that could be accepted.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in cell.cases:
        if case.decides and case.result in (Result.ERROR, Result.MISS):
            cause = case.cause.value if case.cause is not None else "unknown"
            words = "did not complete" if case.result is Result.ERROR else "never ran"
            reasons.setdefault((f"{words} ({cause})", _first_line(case)), []).append(case.id)
    for (words, detail), names in reasons.items():
        which = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield _about(cell, "undecided", f"{words}: {detail}", which)


def _case(cell: CellRecord, case: CaseRecord, scales: Scales) -> Iterator[GateFinding]:
    """A failure closes, a skip leaves undecided, unless something accepts it."""
    recorded = case.result is Result.RECORDED
    skipped = case.result is Result.SKIP and case.skip_reason is not SkipReason.NOT_APPLICABLE
    if case.result is not Result.FAIL and not skipped and not recorded:
        return
    words, effect = ("fails", "closes") if case.result is Result.FAIL else ("was skipped", "undecided")
    if recorded:
        words = "was recorded only"
    unjudged = recorded or case.skip_reason is SkipReason.LABORATORY
    if unjudged and scales.policy.performance == "noted":
        effect = "noted"
    if (accepted := _accepted(cell, case, scales)) is not None:
        yield _about(cell, "noted", f"{words}, {accepted}", case.id)
    else:
        yield _about(cell, effect, f"{words}: {_first_line(case)}{_why_not(cell, case, scales)}", case.id)


def _first_line(case: CaseRecord) -> str:
    return (case.detail.strip().splitlines() or ["no detail"])[0][:200]


def _accepted(cell: CellRecord, case: CaseRecord, scales: Scales) -> str | None:
    """What accepts a failure or a skip, in words; None where nothing does."""
    for waiver in scales.waivers:
        if waiver.holds(scales.today) and waiver.covers(cell.axes, case.suite, case.id, case.against):
            return f"waived until {waiver.expires} by {waiver.approved_by}: {waiver.because}"
    for applied in cell.waived:
        if (applied.suite, applied.case) == (case.suite, case.id) and scales.today <= applied.expires:
            return f"waived by the matrix until {applied.expires} by {applied.approved_by}: {applied.because}"
    if case.result is Result.FAIL and scales.policy.not_worse_than_baseline and scales.earlier is not None:
        before = {(earlier.suite, earlier.id): earlier.result for earlier in scales.earlier.cases}
        if before.get((case.suite, case.id)) is Result.FAIL:
            return f"as in the baseline: {_first_line(case)}"
    return None


def _why_not(cell: CellRecord, case: CaseRecord, scales: Scales) -> str:
    """Why waivers that speak of the case do not accept it; empty where there is none."""
    words = ""
    for waiver in scales.waivers:
        if not waiver.speaks_of(cell.axes, case.suite, case.id):
            continue
        if not waiver.holds(scales.today):
            words += f"; its waiver expired on {waiver.expires}"
        elif waiver.files and case.against is None:
            words += "; a waiver names files, and this record does not say which: render it again with: harness report"
        elif waiver.files:
            others = [file for file in case.against or () if not waiver.accepts_file(file)]
            words += f"; its waiver does not accept {', '.join(others[:3]) or 'it: no file of a finding is recorded'}"
    for applied in cell.waived:
        if (applied.suite, applied.case) == (case.suite, case.id):
            words += f"; its waiver expired on {applied.expires}"
    return words
