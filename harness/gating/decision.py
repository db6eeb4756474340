"""Whether a release may pass, by policy, waivers and a baseline."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.gating.record import CampaignRecord, CellRecord
from harness.gating.weighing import GateFinding, Scales, slower, weigh
from harness.model.definitions import Policy, Waiver


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Open if nothing closes it and nothing is undecided."""

    findings: tuple[GateFinding, ...]

    @property
    def word(self) -> str:
        """``open``, ``closed`` (the product failed), or ``undecided`` (too little is known)."""
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
    """Weigh every planned cell that ``policy.cells`` names, and every name there that no cell has.

    Raises:
        UsageError: the policy names cells that the campaign does not have, or needs a baseline and has none.
    """
    if baseline is None and (policy.not_worse_than_baseline or policy.slower_percent is not None):
        raise UsageError("the policy compares with a baseline, and none was given", advice="name one with --baseline")
    cells = [cell for cell in record.cells if _decides(cell, policy)]
    if not cells:
        raise UsageError(
            f"no cell of {record.id} is one of those that the policy names: {', '.join(policy.cells)}",
            advice="see: harness show",
        )
    earlier = {cell.id: cell for cell in baseline.cells} if baseline is not None else {}
    findings = list(_absent(cells, policy))
    for cell in cells:
        before = earlier.get(cell.id)
        findings += weigh(cell, Scales(policy=policy, waivers=tuple(waivers), earlier=before, today=today))
        if policy.slower_percent is not None and before is not None:
            findings += slower(cell, before, policy.slower_percent)
    return Decision(findings=tuple(findings))


def _decides(cell: CellRecord, policy: Policy) -> bool:
    pairs = [text.partition("=") for text in policy.cells]
    axes = {axis for axis, _, _ in pairs}
    return all(any(cell.axes.get(axis) == value for name, _, value in pairs if name == axis) for axis in axes)


def _absent(cells: Sequence[CellRecord], policy: Policy) -> Iterable[GateFinding]:
    """Cells that the policy waits for and the campaign does not have: nothing ran there."""
    for text in policy.cells:
        axis, _, value = text.partition("=")
        if not any(cell.axes.get(axis) == value for cell in cells):
            yield GateFinding(effect="undecided", cell=text, case="", reason="the policy names it, and no cell has it")
