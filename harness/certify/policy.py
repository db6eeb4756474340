"""Applies an issuer's policy to a campaign: which certificate may be issued, or why no certificate may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.basis import PARTS
from harness.model.definitions import Commission, IssuerProfile, Text
from harness.model.results import Result, SkipReason, Verdict
from harness.model.view import CampaignView, CellView

#: The most cells that a refusal names; the report names all.
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The name that the document may bear, and the reservations in it."""

    zh: str
    en: str
    pre: bool  #: not every cell has a fidelity that the issuer's policy accepts
    conditional: bool  #: some cells passed only because of waivers


@dataclass(frozen=True, kw_only=True)
class IssueDecision:
    """``kind`` is None where ``refusals`` say why nothing is issued."""

    kind: Kind | None
    refusals: tuple[Text, ...] = ()

    @property
    def reasons(self) -> str:
        """The refusals in one text, in both languages; empty where nothing was refused."""
        return "; ".join(f"{refusal.en} / {refusal.zh}" for refusal in self.refusals)


NOTHING = Commission()


def decide(view: CampaignView, profile: IssuerProfile, commission: Commission = NOTHING) -> IssueDecision:
    """Which certificate a campaign leads to; the answer holds every reason against one, not only the first."""
    refusals = [*_of_results(view), *_of_policy(view, profile, commission)]
    if refusals:
        return IssueDecision(kind=None, refusals=tuple(refusals))
    pre = not all(cell.fidelity in profile.adaptation for cell in view.cells)
    conditional = any(cell.verdict is Verdict.CONDITIONAL for cell in view.cells)
    title = profile.titles.pre_adaptation if pre else profile.titles.adaptation
    return IssueDecision(
        kind=Kind(
            zh=f"{title.zh}（带条件）" if conditional else title.zh,
            en=f"{title.en} (conditional)" if conditional else title.en,
            pre=pre,
            conditional=conditional,
        )
    )


def _of_results(view: CampaignView) -> list[Text]:
    refusals = []
    if view.interrupted:
        refusals.append(Text(zh="任务被中断", en="the campaign was interrupted"))
    if not view.cells:
        return [*refusals, Text(zh="计划中没有单元", en="the plan has no cell")]
    bad = [cell for cell in view.cells if cell.verdict not in (Verdict.CONFORMANT, Verdict.CONDITIONAL)]
    if bad:
        words = sorted({cell.verdict.value for cell in bad})
        named = "; ".join(f"{_name(cell)}: {_why(cell)}" for cell in bad[:NAMED])
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        refusals.append(
            Text(
                zh=f"{len(view.cells)} 个计划单元中有 {len(bad)} 个未通过（{named}{more}）",
                en=f"{len(bad)} of {len(view.cells)} planned cells are {', '.join(words)} ({named}{more})",
            )
        )
    return refusals


def _of_policy(view: CampaignView, profile: IssuerProfile, commission: Commission) -> list[Text]:
    refusals = []
    weak = [cell for cell in view.cells if cell.fidelity not in profile.adaptation]
    if weak and not profile.pre_adaptation:
        fidelities = _words(cell.fidelity.value if cell.fidelity is not None else "unknown" for cell in weak)
        refusals.append(
            Text(
                zh=f"{profile.name.zh}不为 {fidelities} 目标出具证书，涉及 {len(weak)} 个单元",
                en=f"{profile.name.en} issues nothing for targets that are {fidelities}: {len(weak)} cells, "
                f"{_words(map(_name, weak[:NAMED]))}",
            )
        )
    waived = [cell for cell in view.cells if cell.verdict is Verdict.CONDITIONAL]
    if waived and not profile.conditional:
        refusals.append(
            Text(
                zh=f"{profile.name.zh}不为带豁免的结果出具证书，涉及 {len(waived)} 个单元",
                en=f"{profile.name.en} issues nothing for results with waivers: {_words(map(_name, waived[:NAMED]))}",
            )
        )
    if commission.inherits and not profile.inheritance:
        refusals.append(
            Text(
                zh=f"{profile.name.zh}不接受继承的结果",
                en=f"{profile.name.en} takes no results over from other certificates",
            )
        )
    refusals += _of_basis(view, profile)
    if profile.signed and not (commission.tester and commission.reviewer and commission.approver):
        refusals.append(
            Text(
                zh="委托单未写明测试、审核与批准人员",
                en="the commission names no tester, reviewer and approver (commission.yaml)",
            )
        )
    return refusals


def _of_basis(view: CampaignView, profile: IssuerProfile) -> list[Text]:
    """What a campaign was tested with, where the issuer says which contents it accepts."""
    if profile.accepted is None:
        return []
    if not view.basis:
        return [
            Text(
                zh="记录未写明所用测试套与目标的摘要（由旧版本测试）",
                en="the record of an older harness does not say which suites and targets were used",
            )
        ]
    strange = [
        entry
        for entry in view.basis
        if entry["kind"] not in PARTS and entry["origin"] != "shipped" and entry["sha256"] not in profile.accepted
    ]
    if not strange:
        return []
    named = "; ".join(f"{entry['kind']} {entry['name']} (SHA-256 {entry['sha256']})" for entry in strange[:NAMED])
    more = f"; and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    return [
        Text(
            zh=f"所用内容既非随附、也不在{profile.name.zh}认可之列：{named}{more}",
            en=f"what was used is neither shipped nor accepted by {profile.name.en}: {named}{more}",
        )
    ]


def uncertified(cell: CellView, profile: IssuerProfile) -> tuple[str, ...]:
    """Quality characteristics with results in this cell that the policy does not certify at the cell's fidelity."""
    characteristics = {case.characteristic.partition("/")[0] for case in cell.cases if case.result is Result.PASS}
    # What was recorded and decided nothing is not certified: a dash would read as if it were. Older records skip it.
    recorded = {
        case.characteristic.partition("/")[0]
        for case in cell.cases
        if case.result is Result.RECORDED or case.skip_reason in (SkipReason.CAPABILITY, SkipReason.LABORATORY)
    }
    return tuple(
        sorted(
            name
            for name in characteristics | recorded
            if name in recorded or (name in profile.certifies and cell.fidelity not in profile.certifies[name])
        )
    )


def _name(cell: CellView) -> str:
    return " × ".join(cell.axes.values())


def _why(cell: CellView) -> str:
    return (cell.message or cell.verdict.value).splitlines()[0][:120]


def _words(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
