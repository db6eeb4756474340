"""Whether a release may pass, by policy, waivers and a baseline."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.gating.difference import SECONDS, beyond_noise
from harness.gating.record import CampaignRecord, CaseRecord, CellRecord
from harness.model.definitions import Policy, Waiver
from harness.model.results import Result, Verdict


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was weighed. ``effect``: closes (the product), undecided (the lab or the plan), noted."""

    effect: str
    cell: str
    case: str
    told: str

    def __str__(self) -> str:
        return f"{self.cell}{' ' + self.case if self.case else ''}: {self.told}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Open if nothing closes it and nothing is undecided."""

    findings: tuple[Finding, ...]

    @property
    def word(self) -> str:
        """``open``, ``closed`` (a product's fault was found), or ``undecided`` (too little is known)."""
        effects = {finding.effect for finding in self.findings}
        return "closed" if "closes" in effects else "undecided" if "undecided" in effects else "open"


def decide(
    record: CampaignRecord,
    policy: Policy,
    *,
    waivers: Sequence[Waiver] = (),
    baseline: CampaignRecord | None = None,
    today: datetime.date,
) -> Decision:
    """Weigh every planned cell that ``policy.cells`` names.

    Raises:
        UsageError: the policy names cells that the campaign does not have, or needs a baseline and has none.
    """
    if baseline is None and (policy.not_worse_than_baseline or policy.slower_percent is not None):
        raise UsageError("the policy compares with a baseline, and none was given", advice="name one with --baseline")
    wanted = [cell for cell in record.cells if _wanted(cell, policy)]
    if not wanted:
        raise UsageError(
            f"no cell of {record.id} is one of those that the policy names: {', '.join(policy.cells)}",
            advice="see: harness show",
        )
    earlier = {cell.id: cell for cell in baseline.cells} if baseline is not None else {}
    findings = [one for cell in wanted for one in _weigh(cell, earlier.get(cell.id), policy, waivers, today)]
    return Decision(findings=tuple(findings))


def _wanted(cell: CellRecord, policy: Policy) -> bool:
    pairs = [text.partition("=") for text in policy.cells]
    axes = {axis for axis, _, _ in pairs}
    return all(any(cell.axes.get(a) == value for a, _, value in pairs if a == axis) for axis in axes)


def _weigh(
    cell: CellRecord, earlier: CellRecord | None, policy: Policy, waivers: Sequence[Waiver], today: datetime.date
) -> Iterable[Finding]:
    def finding(effect: str, told: str, case: str = "") -> Finding:
        return Finding(effect=effect, cell=cell.told, case=case, told=told)

    if cell.unsteady:
        told = f"passed only at attempt {len(cell.attempts)}: unsteady"
        yield finding("closes" if policy.unsteady == "fail" else "noted", told)
    if cell.verdict is Verdict.NOT_TESTED:
        yield finding("undecided" if policy.untested == "fail" else "noted", "planned, and not tested")
    elif cell.verdict is Verdict.INCONCLUSIVE:
        cause = cell.cause.value if cell.cause is not None else "unknown"
        yield finding("undecided", f"inconclusive ({cause}): {cell.message}")
    elif cell.verdict is Verdict.NONCONFORMANT:
        bad = [case for case in cell.cases if case.decides and case.result is Result.FAIL]
        for case in bad:
            yield _failed(cell, case, earlier, policy, waivers, today)
        if not bad:
            yield finding("closes", cell.message or "nonconformant")
    elif cell.verdict.value not in policy.verdicts:
        yield finding("closes", f"{cell.verdict.value}: {cell.message}; the policy takes {', '.join(policy.verdicts)}")
    if policy.slower_percent is not None and earlier is not None:
        yield from _slower(cell, earlier, policy.slower_percent)


def _failed(
    cell: CellRecord,
    case: CaseRecord,
    earlier: CellRecord | None,
    policy: Policy,
    waivers: Sequence[Waiver],
    today: datetime.date,
) -> Finding:
    first = (case.detail.strip().splitlines() or ["failed"])[0][:200]
    mine = [one for one in waivers if one.concerns(cell.axes, case.suite, case.id)]
    for one in mine:
        if one.holds(today):
            told = f"fails, waived until {one.expires} by {one.approved_by}: {one.because}"
            return Finding(effect="noted", cell=cell.told, case=case.id, told=told)
    before = {(c.suite, c.id): c.result for c in earlier.cases} if earlier is not None else {}
    if policy.not_worse_than_baseline and before.get((case.suite, case.id)) is Result.FAIL:
        return Finding(effect="noted", cell=cell.told, case=case.id, told=f"fails as in the baseline: {first}")
    expired = "".join(f"; its waiver expired on {one.expires}" for one in mine)
    return Finding(effect="closes", cell=cell.told, case=case.id, told=f"fails: {first}{expired}")


def _slower(cell: CellRecord, earlier: CellRecord, percent: float) -> Iterable[Finding]:
    before = {(case.suite, case.id, m.name): m for case in earlier.cases for m in case.measurements}
    for case in cell.cases:
        for one in case.measurements:
            was = before.get((case.suite, case.id, one.name))
            if was is None or one.unit not in SECONDS or one.value <= was.value * (1 + percent / 100):
                continue
            if beyond_noise(was.value, one.value, was.unit, one.unit):
                told = f"{one.name} {was.value:g} → {one.value:g} {one.unit}: slower by more than {percent:g} %"
                yield Finding(effect="closes", cell=cell.told, case=case.id, told=told)
