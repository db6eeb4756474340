"""A campaign in a page of Markdown: for merge requests and the summary page of a pipeline."""

from __future__ import annotations

import re

from harness.model.basis import replaced_names
from harness.model.results import Result
from harness.model.view import CampaignView
from harness.presentation import Wording
from harness.system.printable import visible


def render_markdown(view: CampaignView, words: Wording) -> str:
    """GitHub-flavoured Markdown: verdict, coverage, a row a cell, and what failed."""
    cover = view.coverage
    lines = [
        f"## {_text(view.title.zh)} {_text(view.title.en) if view.title.en != view.title.zh else ''}".rstrip(),
        "",
        f"**结论 verdict: {words.both('verdict', view.verdict)}** · {view.id}",
        "",
        f"计划 planned {cover['planned']} · 已测 tested {cover['tested']} · 豁免 waived {cover['waived']} · "
        f"不适用 not applicable {cover['not_applicable']} · 未选 not selected {cover['not_selected']} · "
        f"未测 not tested {cover['not_tested']}",
        "",
        f"| 单元 cell | 保真度 fidelity | 结论 verdict | {' | '.join(Result)} | 静态规则 static |",
        f"|---|---|---|{'--:|' * len(Result)}--:|",
    ]
    for cell in view.cells:
        fidelity = words.both("fidelity", cell.fidelity) if cell.fidelity is not None else "—"
        verdict = words.both("verdict", cell.verdict) + (" ⚠ 不稳定 unsteady" if cell.unsteady else "")
        counts = " | ".join(str(number) for number in cell.counts.values())
        lines.append(
            f"| {_text(' · '.join(cell.axes.values()))} | {fidelity} | {verdict} | {counts} | {cell.silent or '—'} |"
        )
    if view.unverified:
        lines[1:1] = [
            "",
            f"**记录未通过核验，不可采信 the record does not verify, do not rely on it**: {_text(view.unverified)}",
        ]
    details: list[str] = []
    if names := replaced_names(view.basis):
        details.append(f"- **非随附 not the shipped**: {_text(', '.join(names))}")
    for cell in view.cells:
        name = _text(" · ".join(cell.axes.values()))
        details += [f"- **{name}**: {_text(reason)}" for reason in cell.reasons]
    if details:
        lines += ["", "### 说明 details", "", *details]
    return visible("\n".join(lines) + "\n")


def _text(text: str) -> str:
    """One line that Markdown shows as it is: what a product prints must not become a table, a link or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#|<>!~])", r"\\\1", " ".join(text.split()))
